// What is older than the last row: it is fetched when the end of the list comes near, and a search that takes long goes
// on by itself while somebody looks at the list's end.
import { api, here } from "./address.js"
import { add, isAtEnd, isFull, onChange, rows } from "./list.js"
import { clock, day } from "./text.js"
import { told } from "./told.js"

const PAGE = 500
const AGAIN_MS = 5000

let line, next, begun = false, left = new AbortController()

export function start() {
    line = document.querySelector("#older")
    if (!line) return
    next = document.body.dataset.next
    addEventListener("scroll", more, { passive: true })
    addEventListener("pagehide", () => left.abort())
    addEventListener("pageshow", () => {
        left = new AbortController()
        more()
    })
    onChange(() => {
        tell()
        more()
    })
    tell()
}

// Whether there may be any.
export function isMore() {
    return next != ""
}

// Goes on there instead, when the list changes next.
export function goOn(cursor) {
    next = cursor ?? ""
}

async function more() {
    if (begun || !next || isFull() || !isAtEnd() || document.hidden) return
    begun = true
    const { signal } = left
    try {
        const cursor = next
        const page = await told(api("requests", { filter: here.filter, limit: PAGE, cursor }), "page", {
            signal, progress: far => line.textContent = `Looking further, ${date(far.reached)}`,
        })
        if (next == cursor) {
            next = page.next ?? ""
            add(page.requests)
            document.dispatchEvent(new CustomEvent("gatebook:listed", { detail: page }))
        }
    } catch (error) {
        if (!signal.aborted) {
            line.textContent = `${error.message}; trying again`
            await new Promise(resolve => setTimeout(resolve, AGAIN_MS))
        }
    }
    begun = false
    tell()
    if (!signal.aborted) requestAnimationFrame(more)
}

function tell() {
    if (begun) return
    const count = rows.length.toLocaleString("en")
    if (isFull()) line.textContent = `${count} are listed, which is the most. A filter finds older ones.`
    else if (next) line.textContent = "Older ones come as you scroll."
    else line.textContent = rows.length ? `That is all: ${count}.` : ""
}

function date(reached) {
    if (!reached) return "…"
    const ms = Date.parse(reached)
    return `down to ${day(ms)} ${clock(ms).slice(0, 8)}`
}
