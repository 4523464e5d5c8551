// Buttons that copy: data-copy names the element whose text it is, data-copy-link the link whose address, and
// data-copy-from is the address of the body whose bytes are the text.
import { say } from "./text.js"

export function start() {
    document.addEventListener("click", ({ target }) => {
        const button = target.closest("[data-copy], [data-copy-link], [data-copy-from]")
        if (!button) return
        const { copy, copyLink, copyFrom } = button.dataset
        if (copyFrom) body(copyFrom).then(text => put(text, button))
        else put(copy ? document.getElementById(copy).textContent : document.getElementById(copyLink).href, button)
    })
}

export function copyFirstSnippet() {
    const button = document.querySelector("#copy-first")
    if (button) put(document.getElementById(button.dataset.copy).textContent, button)
}

// null when it is no UTF-8: what would be pasted is not what was sent.
async function body(url) {
    try {
        const answer = await fetch(url)
        return answer.ok ? new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await answer.arrayBuffer()) : null
    } catch {
        return null
    }
}

async function put(text, button) {
    const copied = text != null && (await navigator.clipboard?.writeText(text).then(() => true, () => false) || byHand(text))
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
