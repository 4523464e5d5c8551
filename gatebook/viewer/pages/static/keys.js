// The keyboard. Single keys, as long as nothing is being written; buttons and links do the same.
import { copyFirstSnippet } from "./copy.js"
import { toggle } from "./live.js"
import { close, move, opened } from "./pane.js"

const KEYS = {
    "/": () => document.querySelector("input[name=filter]")?.select(),
    j: () => move(1),
    k: () => move(-1),
    f: toggle,
    c: copyFirstSnippet,
    "?": showKeys,
    Escape: () => opened() && document.querySelector("#list") ? close() : null,
}

export function start() {
    document.querySelector("#help").onclick = showKeys
    document.addEventListener("keydown", event => {
        const writing = event.target.closest("input, textarea, select, [contenteditable], dialog[open]")
        if (writing || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return
        event.preventDefault()
        KEYS[event.key]()
    })
}

function showKeys() {
    document.querySelector("#keys").showModal()
}
