// The keyboard. Single keys, as long as nothing is being written; buttons and links do the same. They can be turned off
// (WCAG 2.1.4), as whoever speaks to a computer may have to.
import { copyFirstSnippet } from "./copy.js"
import { toggle } from "./live.js"
import { close, move, opened } from "./pane.js"
import { store, stored } from "./storage.js"

const OFF = "gatebook.keys.off"

const KEYS = {
    "/": writeFilter,
    j: () => move(1),
    k: () => move(-1),
    f: toggle,
    c: copyFirstSnippet,
    "?": showKeys,
    Escape: () => opened() && document.querySelector("#list") ? close() : null,
}

export function start() {
    const single = document.querySelector("#single-keys")
    single.checked = !stored(OFF, false)
    single.onchange = () => store(OFF, !single.checked)
    document.querySelector("#help").onclick = showKeys
    document.addEventListener("keydown", event => {
        const writing = event.target.closest("input, textarea, select, [contenteditable], dialog[open]")
        if (writing || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return
        if (event.key.length == 1 && !single.checked || event.repeat && !"jk".includes(event.key)) return
        event.preventDefault()
        KEYS[event.key]()
    })
}

function writeFilter() {
    const box = document.querySelector("#filter")
    box.focus()
    box.select()
}

function showKeys() {
    document.querySelector("#keys").showModal()
}
