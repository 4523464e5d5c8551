// Filters that this browser keeps: the last ones that were used, and those that somebody gave a name. The server knows
// nothing of them. Rule: what is stored was perhaps written by another release, so whatever is not as expected is left.

import { toList } from "./address.js"
import { check } from "./filter_check.js"
import { store, stored } from "./storage.js"
import { readable } from "./text.js"

const MOST_RECENT = 12
const MOST_NAMED = 200
const LONGEST_NAME = 60

let panel, said, input

export function recent() {
    return list("gatebook.recent").filter(isFilter).slice(0, MOST_RECENT)
}

// { name, filter } of each, by name.
export function named() {
    return list("gatebook.named").filter(one => one?.name && typeof one.name == "string" && isFilter(one.filter))
        .slice(0, MOST_NAMED).sort((a, b) => a.name.localeCompare(b.name))
}

// Remembers that a filter that is right was used.
export function used(filter) {
    store("gatebook.recent", [filter, ...recent().filter(one => one != filter)].slice(0, MOST_RECENT))
}

export function start() {
    const saved = document.querySelector("#saved")
    if (!saved) return
    input = document.querySelector("#filter")
    panel = document.querySelector("#saved-panel")
    saved.addEventListener("toggle", () => saved.open ? draw() : panel.replaceChildren())
    saved.addEventListener("keydown", event => {
        if (event.key != "Escape" || !saved.open) return
        event.stopPropagation()
        saved.open = false
        saved.firstElementChild.focus()
    })
    // Out of it by mouse or Tab; not when what had the focus is gone, as after "Delete".
    saved.addEventListener("focusout", ({ relatedTarget }) => {
        if (relatedTarget && !saved.contains(relatedTarget)) saved.open = false
    })
    document.addEventListener("pointerdown", ({ target }) => saved.contains(target) || (saved.open = false))
}

function draw(words = "") {
    said = made("p", { role: "status", textContent: words })
    const names = named(), last = recent()
    panel.replaceChildren(
        saving(), said,
        made("h2", { textContent: "Named", hidden: !names.length }), made("ul", {}, ...names.map(row)),
        made("h2", { textContent: "Used before", hidden: !last.length }),
        made("ul", {}, ...last.map(filter => made("li", {}, link(filter, made("code", { textContent: readable(filter) }))))),
    )
}

// The form that saves what stands in the box.
function saving() {
    const name = naming({ id: "saved-name" })
    const label = made("label", { htmlFor: name.id, textContent: "Save the filter as" })
    const form = made("form", {}, label, name, made("button", { textContent: "Save" }))
    form.addEventListener("submit", async event => {
        event.preventDefault()
        const filter = input.value.trim(), error = await check(filter).catch(() => null)
        if (!filter) return say("Not saved: there is no filter to save")
        if (error) return say(`Not saved: ${error.message}`)
        keep(name.value.trim(), filter)
    })
    return form
}

function row(one) {
    const name = readable(one.name), filter = made("code", { textContent: readable(one.filter) })
    const rename = made("button", { textContent: "Rename", ariaLabel: `Rename ${name}` })
    const remove = made("button", { textContent: "Delete", ariaLabel: `Delete ${name}` })
    const found = made("li", {}, link(one.filter, made("bdi", { textContent: name }), " ", filter), rename, remove)
    rename.addEventListener("click", () => renameIn(found, one))
    remove.addEventListener("click", () => drop(one))
    return found
}

function drop(one) {
    store("gatebook.named", named().filter(other => other.name != one.name))
    draw(`Deleted ${readable(one.name)}. `)
    const undo = made("button", { textContent: "Undo" })
    undo.addEventListener("click", () => keep(one.name, one.filter))
    said.append(undo)
    undo.focus()
}

// Puts a form in the place of the row.
function renameIn(row, one) {
    const name = naming({ value: one.name, ariaLabel: `New name of ${readable(one.name)}` })
    const form = made("form", {}, name, made("button", { textContent: "Save" }))
    form.addEventListener("submit", event => {
        event.preventDefault()
        const renamed = name.value.trim()
        const taken = renamed != one.name && named().some(other => other.name == renamed)
        if (taken) return say(`Not renamed: there is a ${readable(renamed)} already`)
        if (renamed) store("gatebook.named", named().filter(other => other.name != one.name))
        keep(renamed, one.filter)
    })
    row.replaceChildren(form)
    name.select()
}

function naming(properties) {
    return made("input", { ...properties, maxLength: LONGEST_NAME, autocomplete: "off", required: true })
}

function keep(name, filter) {
    if (!name) return say("Not saved: a name is needed")
    store("gatebook.named", [...named().filter(one => one.name != name), { name, filter }])
    draw(`Saved ${readable(name)}.`)
    panel.querySelector("#saved-name").focus()
}

function link(filter, ...children) {
    return made("a", { href: toList({ filter }) }, ...children)
}

function made(tag, properties, ...children) {
    const one = Object.assign(document.createElement(tag), properties)
    one.append(...children)
    return one
}

function say(words) {
    said.textContent = words
}

function isFilter(text) {
    return typeof text == "string" && text && text.length <= 4096 && !/\p{Surrogate}/u.test(text)
}

function list(key) {
    const found = stored(key, [])
    return Array.isArray(found) ? found : []
}
