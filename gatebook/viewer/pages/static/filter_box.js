// The filter box: offers what may be written (a combobox as WAI-ARIA describes it), says what is wrong and where, and
// lets nothing wrong be asked for. Without it the form around it does all but the offers.
// Rule: whatever comes from requests or from somebody's filter gets in by textContent and value alone.

import { api } from "./address.js"
import { check, inUnits } from "./filter_check.js"
import { know, learn, learnSome, offers } from "./filter_offers.js"
import * as saved from "./saved.js"
import { readable, write } from "./text.js"

const CHECK_MS = 250
const UNFINISHED_MS = 1500 // until a word that is still being written is said to be wrong
const FRESH_MS = 30_000
const KEYS = {
    ArrowDown: () => move(1), ArrowUp: () => move(-1), Escape: dismiss,
    Enter: () => take(active), Tab: () => take(begun()),
}

let input, list, mark, says, wrong
let offered = { options: [] }, active = -1, isWanted = false, isTyped = false
let page, checked, asking, timer, learned = -Infinity

export function start() {
    input = document.querySelector("#filter")
    if (!input) return
    wrong = document.querySelector("#filter-wrong")
    says = document.querySelector("#filter-says")
    build()
    saved.start()
    page = asMade()
    input.addEventListener("input", () => { open(true); checkSoon() })
    input.addEventListener("keydown", press)
    input.addEventListener("click", () => open())
    input.addEventListener("focus", learnFirst)
    input.addEventListener("blur", () => { close(); checkNow() })
    for (const name of ["scroll", "keyup"]) input.addEventListener(name, align)
    input.form.addEventListener("submit", submit)
    for (const name of ["gatebook:listed", "gatebook:arrived"]) {
        document.addEventListener(name, ({ detail }) => document.activeElement == input && learnSome(detail.requests))
    }
    addEventListener("pageshow", ({ persisted }) => persisted && reset()) // somebody came back to it
    checked = page
    input.value == page.filter ? reset() : checkSoon()
    if (page.filter && !page.error) saved.used(page.filter)
}

function build() {
    list = document.createElement("ul")
    Object.assign(list, { id: "filter-offers", role: "listbox", ariaLabel: "What may be written", hidden: true })
    mark = document.createElement("div")
    Object.assign(mark, { id: "filter-mark", ariaHidden: "true", hidden: true })
    input.after(mark, list)
    Object.assign(input, { role: "combobox", ariaAutoComplete: "list", ariaExpanded: "false" })
    input.setAttribute("aria-controls", list.id)
    // Before it is clicked, so that the box keeps the focus.
    list.addEventListener("pointerdown", event => event.preventDefault())
    list.addEventListener("click", ({ target }) => {
        const place = [...list.children].indexOf(target.closest("li"))
        if (place >= 0) take(place)
    })
}

// The filter of the page, and what its server found wrong with it.
function asMade() {
    const { position } = wrong.dataset, filter = input.defaultValue
    const error = position && { message: says.textContent, position: inUnits(filter, position) }
    return { filter, error }
}

function reset() {
    input.value = page.filter
    checked = page
    close()
    tell(page.error)
    const there = mark.querySelector("mark")
    if (there && !mark.hidden) input.scrollLeft = there.offsetLeft - input.clientWidth / 2
    align()
}

async function learnFirst() {
    if (performance.now() - learned < FRESH_MS) return
    learned = performance.now()
    try {
        const newest = filter => api("requests", { filter, limit: 100 })
        const asked = [api("filter"), newest(), ...page.filter && !page.error ? [newest(page.filter)] : []]
        const [{ fields }, ...found] = await Promise.all(asked.map(async url => (await fetch(url)).json()))
        know(fields)
        learn(found.flatMap(({ requests }) => requests))
        if (isWanted) openAgain()
    } catch {
        learned = -Infinity
    }
}

// The offers

function open(typed = false) {
    isWanted = true
    isTyped = typed
    offered = offers(input.value, input.selectionStart)
    active = -1
    list.replaceChildren(...offered.options.map(option))
    show(offered.options.length > 0)
}

// With more to offer than before.
function openAgain() {
    const chosen = offered.options[active]?.written
    open(isTyped)
    point(offered.options.findIndex(one => one.written == chosen))
}

function option({ label, help }, place) {
    const [one, said, small] = ["li", "bdi", "small"].map(name => document.createElement(name))
    Object.assign(one, { id: `filter-offer-${place}`, role: "option", ariaSelected: "false" })
    said.textContent = readable(label)
    small.textContent = readable(help)
    one.append(said, " ", small)
    return one
}

function close() {
    isWanted = false
    show(false)
}

function show(isOpen) {
    list.hidden = !isOpen
    input.ariaExpanded = String(isOpen)
    if (!isOpen) point(-1)
}

function point(place) {
    list.children[active]?.setAttribute("aria-selected", "false")
    active = place
    const chosen = list.children[place]
    if (!chosen) return input.removeAttribute("aria-activedescendant")
    chosen.setAttribute("aria-selected", "true")
    chosen.scrollIntoView({ block: "nearest" })
    input.setAttribute("aria-activedescendant", chosen.id)
}

// Keys

// A key is the box's when it did something here.
function press(event) {
    if (event.isComposing || event.shiftKey || event.ctrlKey || event.metaKey || !KEYS[event.key]?.()) return
    event.preventDefault()
    event.stopPropagation()
}

function move(by) {
    if (list.hidden) open()
    const count = list.hidden ? 0 : list.children.length
    if (count) point(active < 0 ? (by > 0 ? 0 : count - 1) : (active + by + count) % count)
    return true
}

function dismiss() {
    const was = !list.hidden
    close()
    return was
}

// What Tab takes: what is pointed at, or the first one when somebody begins a word; else Tab goes on to what is next.
function begun() {
    return active < 0 && isTyped && offered.begun ? 0 : active
}

function take(place) {
    const chosen = list.hidden ? null : offered.options[place]
    if (!chosen) return false
    input.setRangeText(chosen.written, offered.from, offered.to, "end")
    close()
    checkSoon()
    if (chosen.more) open()
    input.scrollLeft = input.scrollWidth * (input.selectionEnd == input.value.length)
    return true
}

// What is wrong

function checkSoon() {
    clearTimeout(timer)
    mark.hidden = true
    timer = setTimeout(checkNow, CHECK_MS)
}

async function checkNow() {
    clearTimeout(timer)
    asking?.abort()
    asking = new AbortController
    const filter = input.value
    try {
        if (checked.filter != filter) checked = { filter, error: await check(filter, asking.signal) }
    } catch {
        return // another one is asked, or nobody answers
    }
    if (checked.error && unfinished(checked.error)) timer = setTimeout(() => tell(checked.error), UNFINISHED_MS)
    else tell(checked.error)
}

// Whether it is about the word that is being written just now.
function unfinished({ position, expected }) {
    if (document.activeElement != input || input.selectionEnd < input.value.length) return false
    return !/[^ \t]/.test(input.value.slice(position).replace(/^[^ \t()]*/, "")) && !/[ \t)]$/.test(input.value)
        || expected == 'a closing "'
}

// Marks it under the character, and says it. The page that came with an error says it without this, too.
function tell(error) {
    wrong.hidden = mark.hidden = !error
    document.querySelector("#filter-where")?.remove()
    if (!error) {
        says.textContent = ""
        return input.removeAttribute("aria-invalid")
    }
    write(says, error.message)
    input.ariaInvalid = "true"
    const there = document.createElement("mark"), at = error.position
    const length = input.value.codePointAt(at) > 0xffff ? 2 : 1
    there.textContent = input.value.slice(at, at + length) || "\u00a0"
    mark.replaceChildren(input.value.slice(0, at), there, input.value.slice(at + length))
    align()
}

function align() {
    mark.scrollLeft = input.scrollLeft
}

async function submit(event) {
    event.preventDefault()
    close()
    await checkNow()
    clearTimeout(timer)
    const { filter, error } = checked
    if (filter != input.value || !error) return input.form.submit()
    tell(error)
    input.focus()
    input.setSelectionRange(error.position, error.position + 1)
    align()
}
