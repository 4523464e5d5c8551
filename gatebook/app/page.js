// Keeps the page fresh from the viewer's list, which records nothing; `/` itself is never fetched again.
// What a client sent gets in by textContent alone. Shows everything just as page.py does.
// An element's id is a global name: own, others, lanes, say, live, copy, curl.
const mine = own.rows[1]
const local = date => new Date(date - date.getTimezoneOffset() * 6e4).toISOString().slice(0, -1).split("T")
let wait = 2000, timer, paused

function shown(wire) {
    let head = wire.slice(0, 120), cut = head != wire
    try {
        head = decodeURIComponent(escape(cut ? head.replace(/[\xc2-\xf4][\x80-\xbf]{0,2}$/, "") : head))
    } catch {}
    return head.replace(/(?!\x20)[\p{C}\p{Z}]/gu, "\ufffd") + (cut ? "…" : "")
}

const hue = name => "r" + [...name].reduce((sum, char) => sum + char.codePointAt(), 0) % 8

// Local time, and the day only when it is not today's. The first 48 bits of the id are milliseconds.
function localise(row) {
    const time = row.querySelector("time"), id = row.id = time.parentNode.pathname.slice(16)
    const utc = new Date(parseInt(id.slice(0, 8) + id.slice(9, 13), 16)), [day, clock] = local(utc)
    time.title = time.dateTime = utc.toISOString()
    time.textContent = day == local(new Date)[0] ? clock : day + " " + clock
}

function made(request) {
    const row = mine.cloneNode(true), cells = row.cells
    row.querySelector("a").href = "/_/api/requests/" + request.id
    localise(row);
    ["method", "target", "client", "replica"].forEach((key, place) => cells[place + 1].textContent = shown(request[key]))
    cells[4].className = hue(request.replica)
    cells[5].textContent = request.body_size?.toLocaleString("en") ?? "?"
    row.className = "new"
    return row
}

function spread(replicas) {
    const names = [...new Set(replicas)].sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
    lanes.replaceChildren(...names.map(name => {
        const lane = lanes.children[0].cloneNode(true), [label, { firstChild: path }, count] = lane.children
        const cells = replicas.flatMap((one, place) => one == name ? [`M${24 - place} 0h.8`] : [])
        lane.className = hue(name)
        label.textContent = shown(name)
        path.setAttribute("d", cells.join(""))
        count.textContent = cells.length
        return lane
    }))
}

// Rows that stay are not touched, so that a selection or the focus in them stays too.
function show(requests) {
    const rows = requests.filter(one => one.id != mine.id).slice(0, 24).map(one => others.rows[one.id] ?? made(one))
    rows.forEach((row, place) => {
        const there = others.rows[place + 1]
        if (there != row) others.insertBefore(row, there)
    })
    while (others.rows.length > rows.length + 1) others.lastElementChild.remove()
    if (requests[0]) spread(requests.map(one => one.replica))
}

function tell(state) {
    if (say.textContent != state) say.textContent = state
}

async function poll() {
    if (paused || others.querySelector(":focus-visible")) tell("Paused")
    else if (!document.hidden) try {
        const answer = await fetch("/_/api/requests?limit=25", { signal: AbortSignal.timeout(9e3) })
        show((await answer.json()).requests)
        tell("Live")
        wait = 2000
    } catch {
        wait = Math.min(wait * 2, 6e4)
        tell("Not live, retrying")
    }
    clearTimeout(timer)
    timer = setTimeout(poll, wait)
}

document.querySelectorAll("tr:has(a)").forEach(localise)
document.querySelector("th").textContent = "Time, local"
live.hidden = copy.hidden = false
live.onclick = () => {
    live.ariaPressed = paused = !paused
    poll()
}
// execCommand, because navigator.clipboard is missing on plain http; if it fails, the line is at least selected.
copy.onclick = () => {
    getSelection().selectAllChildren(curl)
    copy.textContent = document.execCommand("copy") ? "Copied" : "Ctrl-C"
}
document.onvisibilitychange = poll
timer = setTimeout(poll, wait)
