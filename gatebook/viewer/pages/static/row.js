// One row of the list: what is known of a request, out of the page or the API, and the <tr> that shows it.
import { here, narrowed, ofRow } from "./address.js"
import { clock, day, hue, shown, size, timeOf } from "./text.js"

const SHOWN = 300

// Of a request as the API has it. Little is kept, since there may be a hundred thousand.
export function kept({ id, method, target, client, replica, headers, status, body_size }) {
    const [, said = ""] = headers.find(([name]) => name.toLowerCase() == "content-type") ?? [], [type] = said.split(";", 1)
    return {
        id, method, target: target.slice(0, SHOWN + 1), client, replica, type: type.trim().slice(0, SHOWN + 1),
        status, size: size(body_size),
    }
}

// Of a row that came with the page: its cells are texts for a reader already, and stay as they are.
export function read(tr) {
    localise(tr)
    return { id: tr.dataset.id, tr }
}

// The <tr> of a row, made when it is first seen.
export function drawn(row) {
    return row.tr ?? draw(row)
}

function draw(row) {
    const tr = element("tr", "row")
    tr.dataset.id = row.id
    const [time, link, own, status] = ["time", "a", "em", "b"].map(name => document.createElement(name))
    link.href = ofRow(row.id)
    link.textContent = shown(row.target, SHOWN)
    own.textContent = "this one"
    status.className = "status"
    status.textContent = row.status
    tr.append(cell("time", time), cell("age scripted"), cell("method", value("method", row.method)), cell("target", ...row.id == here.compare ? [link.textContent, " ", own] : [link]),
        cell("client", value("client", row.client)), cell(`replica ${hue(row.replica)}`, value("replica", row.replica)),
        cell("type", shown(row.type, SHOWN)), cell("size", ...row.status == 200 ? [] : [status, " "], row.size))
    localise(tr)
    return tr
}

// Local time, UTC on hover, and the day where it is not today.
function localise(tr) {
    const ms = timeOf(tr.dataset.id), time = tr.querySelector("time"), date = day(ms)
    time.dateTime = time.title = new Date(ms).toISOString()
    time.textContent = date == day(Date.now()) ? clock(ms) : `${date.slice(5)} ${clock(ms).slice(0, 8)}`
}

function cell(name, ...content) {
    const td = element("td", "cell")
    td.className = name
    td.append(...content)
    return td
}

function value(field, wire) {
    const url = narrowed(field, wire), text = shown(wire)
    if (url == null) return text
    const link = document.createElement("a")
    link.className = "narrow"
    link.href = url
    link.tabIndex = -1
    link.textContent = text
    return link
}

function element(name, role) {
    const made = document.createElement(name)
    made.role = role
    return made
}
