// The list: every row that was loaded, newest first, of which only those are in the document that can be seen.
//
// Rule: rows have one height (list.css), so where each is can be told without drawing it, and a hundred thousand scroll
// like fifty.
import { drawn, kept, read } from "./row.js"
import { ago, timeOf } from "./text.js"

const MOST = 100_000
const AROUND = 10 // rows drawn beyond what can be seen

export const rows = []
let box, body, height = 0, heading = 0, due = false, current = null
let inDocument = new Map() // what is drawn, by id
const changed = []

export function start() {
    box = document.querySelector("#rows")
    if (!box) return
    body = box.querySelector("tbody")
    rows.push(...[...body.rows].map(read))
    current = body.querySelector("[aria-current]")?.dataset.id ?? null
    addEventListener("scroll", soon, { passive: true })
    new ResizeObserver(() => {
        height = 0
        soon()
    }).observe(box)
    setInterval(tellAges, 1000)
    draw()
}

// Calls back after each change of what the list holds.
export function onChange(callback) {
    changed.push(callback)
}

// Puts requests, as the API has them, where they belong by id; how many were new. `new` ones light up for a moment.
export function add(requests, { fresh = false } = {}) {
    let added = 0
    for (const request of requests) {
        const at = place(request.id)
        if (rows[at]?.id == request.id) continue
        rows.splice(at, 0, { ...kept(request), fresh })
        added += 1
    }
    if (rows.length > MOST) rows.length = MOST
    if (added) tell()
    return added
}

// Adds older ones at the end; faster than add() for many.
export function append(requests) {
    const last = rows.at(-1)?.id ?? "~"
    rows.push(...requests.filter(one => one.id < last).slice(0, MOST - rows.length).map(kept))
    tell()
}

export function clear() {
    rows.length = 0
    tell()
}

export function isFull() {
    return rows.length >= MOST
}

// Whether the newest row is in sight, so that what is put before it is seen and moves nothing that is being read.
export function isAtTop() {
    return !box || box.getBoundingClientRect().top > -height
}

export function isAtEnd() {
    return !box || box.getBoundingClientRect().bottom < 3 * innerHeight
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
    const at = id == null ? -1 : place(id)
    if (rows[at]?.id == id && focus) show(at)
    draw()
    if (focus) body.querySelector(`[data-id="${id}"] .target a`)?.focus({ preventScroll: true })
}

// The id of the row `step` rows on from the current one, or the first in sight.
export function beside(step) {
    if (!rows.length) return null
    const at = current == null ? -1 : place(current)
    if (rows[at]?.id != current) return rows[Math.max(0, Math.min(firstInSight(), rows.length - 1))].id
    return rows[Math.max(0, Math.min(at + step, rows.length - 1))].id
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
    soon()
    for (const callback of changed) callback()
}

function soon() {
    if (!due) requestAnimationFrame(draw)
    due = true
}

function firstInSight() {
    return Math.max(0, Math.ceil((covered() - table()) / height))
}

// What the header hides of the window, and where the rows begin in it.
const covered = () => document.querySelector("#top").getBoundingClientRect().bottom
const table = () => box.getBoundingClientRect().top + heading

function show(at) {
    const top = table() + at * height - Math.max(covered(), 0) - height, bottom = table() + (at + 1) * height - innerHeight
    if (top < 0) scrollBy({ top })
    else if (bottom > 0) scrollBy({ top: bottom })
}

function draw() {
    due = false
    if (!height && rows.length) measure()
    const above = -table()
    const first = within(Math.floor(above / height) - AROUND), last = within(Math.ceil((above + innerHeight) / height) + AROUND)
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
    tellAges()
}

// A place among the rows.
function within(place) {
    return Math.max(0, Math.min(place, rows.length)) || 0
}

function made(row) {
    const tr = drawn(row)
    if (row.fresh) tr.classList.add("new")
    row.fresh = false
    return tr
}

// `number`: counted from 1; the heading is the first row of the table.
function mark(tr, number) {
    tr.ariaRowIndex = number + 1
    if (tr.dataset.id == current) tr.ariaCurrent = "true"
    else tr.removeAttribute("aria-current")
}

function measure() {
    const head = box.querySelector("thead")
    if (!body.rows.length) body.append(made(rows[0]))
    height = body.rows[0].getBoundingClientRect().height || 32
    heading = getComputedStyle(head).position == "absolute" ? 0 : head.offsetHeight
}

function tellAges() {
    if (document.hidden) return
    for (const tr of body.rows) {
        const text = ago(timeOf(tr.dataset.id)), age = tr.cells[1]
        if (age.textContent != text) age.textContent = text
    }
}
