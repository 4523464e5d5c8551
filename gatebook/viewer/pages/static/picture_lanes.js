// Draws lanes of bars on one axis of time, and what stands beside each. Knows nothing of where the numbers come from.
// What a client sent gets in by textContent, through shown(). All sizes are whole pixels of the screen, so that equal
// steps look equal.

import { hue, shown, write } from "./text.js"

const SVG = "http://www.w3.org/2000/svg"
const LABEL_EMS = 5.5 // on the axis, the longest being 13:37:30
const MOST_LABELS = 16

export class Lanes {
    // `link(value)`: where a value's name leads, or null.
    constructor(frame, by, link) {
        Object.assign(this, { frame, by, link, rows: new Map })
        this.list = made("ul", "lanes")
        this.brush = made("div", "brush")
        this.pending = made("div", "pending")
        this.chosen = made("div", "chosen")
        this.brush.append(this.pending, this.chosen)
        this.axis = made("div", "axis")
        this.axis.ariaHidden = "true"
        this.scale = made("span", "scale")
        this.brush.append(this.scale)
        frame.replaceChildren(this.list, this.brush, this.axis)
    }

    // How many labels the axis has room for.
    get labels() {
        this.#measure()
        return Math.min(Math.max(Math.floor(this.width / this.label), 2), MOST_LABELS)
    }

    // Of the lanes, and of a label at most; once a drawing, since each time the browser lays out the page.
    #measure() {
        this.width = this.brush.getBoundingClientRect().width
        this.label = LABEL_EMS * parseFloat(getComputedStyle(this.axis).fontSize)
    }

    // `lanes`: [{value, name, counts, count, share, note, loud, quietFrom}]; `partial`, `pending`, `selection`: steps.
    draw(picture) {
        const { lanes, steps, ticks, highest, pending, selection } = picture
        this.#measure()
        this.x = step => snapped((step - steps.from) / steps.size * this.width)
        const rows = lanes.map(lane => this.#row(lane))
        if (rows.length != this.list.children.length || rows.some((row, n) => row.item != this.list.children[n])) {
            this.list.replaceChildren(...rows.map(row => row.item))
            for (const key of this.rows.keys()) if (!lanes.some(lane => lane.value === key)) this.rows.delete(key)
        }
        lanes.forEach((lane, n) => this.#fill(rows[n], lane, picture))
        this.scale.textContent = highest.toLocaleString("en")
        place(this.pending, 0, pending == null ? 0 : this.x(Math.min(Math.max(pending, steps.from), steps.to)))
        const [a, b] = selection ?? [steps.from, steps.from]
        place(this.chosen, this.x(a), this.x(b))
        this.axis.replaceChildren(...ticks.map(tick => this.#tick(tick, steps)).filter(one => one))
    }

    #row(lane) {
        let row = this.rows.get(lane.value)
        if (row) return row
        const item = made("li", lane.hue ? hue(lane.value) : lane.rest ? "rest" : ""), svg = drawn("svg")
        svg.ariaHidden = "true"
        svg.setAttribute("preserveAspectRatio", "none") // a height that is no whole pixel must not narrow it
        const [grid, bars, partial, quiet] = ["grid", "bars", "bars partial", "quiet"].map(name => {
            const path = svg.appendChild(drawn("path"))
            path.setAttribute("class", name)
            return path
        })
        const to = lane.value != null && !lane.rest ? this.link(lane.value) : null
        const name = made(to ? "a" : "span", "name")
        if (to) name.href = to
        if (!lane.rest && lane.name != null) {
            name.textContent = shown(lane.name, 80) || "(empty)"
            name.title = shown(lane.name, 1000)
        }
        const [count, share] = ["count", "share"].map(kind => made("span", kind))
        item.append(name, svg, count, share)
        row = { item, name, svg, grid, bars, partial, quiet, count, share }
        this.rows.set(lane.value, row)
        return row
    }

    #fill(row, { name, rest, counts, count, share, note, loud, quietFrom }, { steps, highest, ticks, partial }) {
        const { width, height } = row.svg.getBoundingClientRect(), edge = steps.to - 1
        row.svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
        const bar = place => this.#bar(place, counts[place], highest, height, steps)
        const all = counts.map((_, n) => n), isPartial = n => partial.includes(n + steps.from)
        set(row.bars, all.filter(n => !isPartial(n)).map(bar).join(""))
        set(row.partial, all.filter(isPartial).map(bar).join(""))
        set(row.grid, ticks.map(({ at }) => `M${this.x(at / steps.step) + .5} 0V${height}`).join(""))
        const from = quietFrom == null ? null : this.x(Math.min(quietFrom, edge))
        set(row.quiet, from == null ? "" : `M${from} ${height - 1}H${this.x(steps.to)}`)
        row.item.classList.toggle("loud", Boolean(loud))
        if (rest) write(row.name, name)
        write(row.count, count.toLocaleString("en"))
        write(row.share, note || share == null ? note : `${(100 * share).toFixed(1)} %`)
        row.share.style.setProperty("--part", `${100 * (share ?? 0)}%`)
    }

    #bar(place, count, highest, height, { from }) {
        if (!count) return ""
        const left = this.x(from + place), right = this.x(from + place + 1)
        const gap = right - left >= 3 ? 1 : 0, tall = Math.max(snapped(count / highest * (height - 1)), 1.5)
        return `M${left} ${height}v${-tall}H${Math.max(right - gap, left + 1)}V${height}z`
    }

    #tick({ at, label, day }, { step }) {
        const left = this.x(at / step), mark = made("time", day ? "day" : "")
        if (left > this.width - .75 * this.label) return null
        mark.style.setProperty("left", `${left}px`)
        mark.dateTime = mark.title = new Date(at).toISOString()
        mark.textContent = label
        return mark
    }
}

function made(tag, kind) {
    const one = document.createElement(tag)
    if (kind) one.className = kind
    return one
}

const drawn = tag => document.createElementNS(SVG, tag)
const snapped = px => Math.round(px * devicePixelRatio) / devicePixelRatio

function set(path, d) {
    if (path.getAttribute("d") != d) path.setAttribute("d", d)
}

function place(one, from, to) {
    one.hidden = to <= from
    one.style.setProperty("left", `${from}px`)
    one.style.setProperty("width", `${Math.max(to - from, 0)}px`)
}
