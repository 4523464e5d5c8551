// Buttons that copy: data-copy names the element whose text it is, data-copy-link the link whose address.
import { say } from "./text.js"

export function start() {
    document.addEventListener("click", ({ target }) => {
        const button = target.closest("[data-copy], [data-copy-link]")
        if (!button) return
        const { copy, copyLink } = button.dataset
        put(copy ? document.getElementById(copy).textContent : document.getElementById(copyLink).href, button)
    })
}

export function copyFirstSnippet() {
    const button = document.querySelector("#request .snippet button")
    if (button) put(document.getElementById(button.dataset.copy).textContent, button)
}

async function put(text, button) {
    const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false) || byHand(text)
    const label = button.dataset.label ??= button.textContent
    button.textContent = copied ? "Copied" : "Not copied"
    say(copied ? "Copied" : "It could not be copied")
    setTimeout(() => button.textContent = label, 1500)
}

// navigator.clipboard is missing on plain http, but for localhost.
function byHand(text) {
    const area = document.createElement("textarea"), focused = document.activeElement
    area.value = text
    area.className = "unseen"
    document.body.append(area)
    area.select()
    const copied = document.execCommand("copy")
    area.remove()
    focused?.focus({ preventScroll: true })
    return copied
}
