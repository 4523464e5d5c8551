// The list: every row that was loaded, newest first, of which only those are in the document that can be seen.
//
// Rules: rows have one height (list.css), so where each is can be told without drawing it, and a hundred thousand
// scroll like fifty. When that height changes, or another part covers the list, what was looked at stays in place.
import { drawn, kept, read } from "./row.js"
import { ago, timeOf, write } from "./text.js"

const MOST = 100_000
const AROUND = 10 // rows drawn beyond what can be seen

export const rows = []
let box, body, width = 0, height = 0, heading = 0, due = false, current = null
let inDocument = new Map() // what is drawn, by id
let looked = null // at which row, and where that is in the window
const changed = []

export function start() {
    box = document.querySelector("#rows")
    if (!box) return
    body = box.querySelector("tbody")
    rows.push(...[...body.rows].map(read))
    current = body.querySelector("[aria-current]")?.dataset.id ?? null
    addEventListener("scroll", soon, { passive: true })
    new ResizeObserver(soon).observe(box)
    setInterval(tellAges, 1000)
    draw()
}

// Calls back after each change of what the list holds.
export function onChange(callback) {
    changed.push(callback)
}

// Puts requests, as the API has them, where they belong by id; how many were new. `new` ones light up for a moment.
export function add(requests, { fresh = false } = {}) {
    const unknown = [...new Map(requests.map(one => [one.id, one])).values()].filter(({ id }) => !has(id))
        .sort((a, b) => a.id < b.id ? 1 : -1).map(one => ({ ...kept(one), fresh }))
    const newer = unknown.findIndex(({ id }) => id < rows[0]?.id), first = newer < 0 ? unknown.length : newer
    for (const row of unknown.slice(first)) rows.splice(place(row.id), 0, row)
    rows.unshift(...unknown.slice(0, first)) // at once, as most come
    if (rows.length > MOST) rows.length = MOST
    if (unknown.length) tell()
    return unknown.length
}

// These instead of all that is listed.
export function replace(requests) {
    rows.length = 0
    if (!add(requests)) tell()
}

export function has(id) {
    return rows[place(id)]?.id == id
}

export function isFull() {
    return rows.length >= MOST
}

// Whether the newest row is in sight, so that what is put before it is seen and moves nothing that is being read.
export function isAtTop() {
    return !box || isSeen() && box.getBoundingClientRect().top > -height
}

export function isAtEnd() {
    return !box || isSeen() && box.getBoundingClientRect().bottom < 3 * innerHeight
}

export function toTop() {
    scrollTo({ top: 0 })
}

export function currentId() {
    return current
}

// Makes a row the current one: it is brought into sight, and gets the focus if asked for.
export function choose(id, { focus = false } = {}) {
    current = id
    draw()
    if (focus && id != null && has(id)) show(place(id))
    if (focus) body.querySelector(`[data-id="${id}"] .target a`)?.focus({ preventScroll: true })
}

// The id of the row `step` rows on from the current one, or the first in sight.
export function beside(step) {
    if (!rows.length) return null
    const at = current != null && has(current) ? place(current) + step : firstInSight()
    return rows[Math.max(0, Math.min(at, rows.length - 1))].id
}

// Where an id is, or would be, among rows whose ids fall.
function place(id) {
    let low = 0, high = rows.length
    while (low < high) {
        const middle = (low + high) >> 1
        if (rows[middle].id > id) low = middle + 1
        else high = middle
    }
    return low
}

function tell() {
    document.querySelector("#empty").hidden = rows.length > 0
    document.querySelector("#away")?.remove()
    soon()
    for (const callback of changed) callback()
}

function soon() {
    if (!due) requestAnimationFrame(draw)
    due = true
}

function firstInSight(hidden = covered(), begin = table()) {
    return Math.max(0, Math.ceil((hidden - begin) / height))
}

// How much of the window is hidden by what stays above the rows.
function covered() {
    const bars = [...document.querySelectorAll("#top, #list > .bar")]
    const staying = bars.filter(one => getComputedStyle(one).position == "sticky")
    return Math.max(0, ...staying.map(one => one.getBoundingClientRect().bottom)) + heading
}

// Where the rows begin in the window, and where one of them does.
const table = () => box.getBoundingClientRect().top + box.clientTop + heading
const top = at => table() + at * height

function show(at) {
    if (!isSeen()) return
    const above = top(at) - covered() - height, below = top(at + 1) - innerHeight
    if (above < 0) scrollBy({ top: Math.floor(above) })
    else if (below > 0) scrollBy({ top: Math.ceil(below) })
    draw()
}

// Not while the request that is open covers it.
function isSeen() {
    return box.clientWidth > 0
}

function draw() {
    due = false
    if (!isSeen()) return width = 0
    if (width != box.clientWidth) measure()
    look() // before anything is written, so that the browser lays it out once
    fill()
    tellAges()
}

// Puts into the document what can be seen now.
function fill() {
    const above = -table()
    const first = within(Math.floor(above / height) - AROUND)
    const last = within(Math.ceil((above + innerHeight) / height) + AROUND)
    const wanted = new Map(rows.slice(first, last).map(row => [row.id, inDocument.get(row.id) ?? made(row)]))
    const hadFocus = body.contains(document.activeElement)
    for (const tr of [...body.rows]) if (wanted.get(tr.dataset.id) != tr) tr.remove()
    let at = 0
    for (const tr of wanted.values()) {
        if (body.rows[at] != tr) body.insertBefore(tr, body.rows[at] ?? null)
        mark(tr, first + ++at)
    }
    inDocument = wanted
    if (hadFocus && !body.contains(document.activeElement)) box.focus({ preventScroll: true })
    box.firstElementChild.ariaRowCount = rows.length + 1
    box.style.paddingTop = `${first * height}px`
    box.style.paddingBottom = `${(rows.length - last) * height}px`
}

// Remembers where in the window is what is looked at: the current row if it is in sight, else the first row that is if
// the list is scrolled.
function look() {
    const own = current != null && has(current) ? place(current) : -1, hidden = covered(), begin = table()
    const isInSight = begin + own * height >= hidden && begin + own * height < innerHeight
    const at = isInSight ? own : firstInSight(hidden, begin) || -1
    looked = rows[at] ? { id: rows[at].id, top: begin + at * height } : null
}

// A place among the rows.
function within(place) {
    return Math.max(0, Math.min(place, rows.length)) || 0
}

function made(row) {
    const tr = drawn(row)
    if (row.fresh) {
        tr.classList.add("new")
        tr.addEventListener("animationend", () => tr.classList.remove("new"))
    }
    row.fresh = false
    return tr
}

// `number`: counted from 1; the heading is the first row of the table.
function mark(tr, number) {
    tr.ariaRowIndex = number + 1
    if (tr.dataset.id == current) tr.ariaCurrent = "true"
    else tr.removeAttribute("aria-current")
}

// How high a row is in this width; and scrolls so that what was looked at is where it was.
function measure() {
    if (!rows.length) return
    const head = box.querySelector("thead")
    if (!body.rows.length) body.append(made(rows[0]))
    width = box.clientWidth
    height = body.rows[0].getBoundingClientRect().height
    heading = getComputedStyle(head).position == "absolute" ? 0 : head.getBoundingClientRect().height
    if (!looked || !has(looked.id)) return
    fill()
    scrollBy({ top: top(place(looked.id)) - looked.top })
    if (scrollY < document.querySelector("#gate")?.offsetHeight) scrollTo({ top: 0 }) // else it would be seen in half
}

function tellAges() {
    if (document.hidden) return
    for (const tr of body.rows) write(tr.cells[1], ago(timeOf(tr.dataset.id)))
}
