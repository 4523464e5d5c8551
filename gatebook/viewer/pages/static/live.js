// Follows what comes in. New requests go on top of the list while its top is in sight and nobody has paused it; else they
// are counted and wait for a click.
//
// Rule: nothing is missed and nothing comes twice. The stream is opened first and the newest page looked at then, so what
// was committed in between is in one of them; what the list has already it does not take again. The stream is closed
// while nobody looks, since a browser has six connections to a host for all its tabs, and goes on where it was.
import { api, here } from "./address.js"
import { add, clear, isAtTop, rows, toTop } from "./list.js"
import { goOn } from "./older.js"
import { told } from "./told.js"

const MOST_WAITING = 1000 // beyond, the list is fetched anew instead
const RETRY_MS = 3000
const PAGE = 100

let source, retry, position = "", following = true, coming = [], waiting = [], count = 0
let button, came, state

export function start() {
    button = document.querySelector("#follow")
    came = document.querySelector("#came")
    state = document.querySelector("#live")
    if (!button || !document.body.dataset.live) return button?.remove()
    button.onclick = toggle
    came.onclick = showWaiting
    document.addEventListener("visibilitychange", connect)
    addEventListener("pagehide", () => source?.close())
    addEventListener("pageshow", connect)
    addEventListener("scroll", () => following && count && isAtTop() && showWaiting(), { passive: true })
    connect()
}

// Follows, or pauses.
export function toggle() {
    if (!button?.isConnected) return
    following = !following
    button.ariaPressed = following
    tell(following ? "Live" : "Paused")
    if (following && count) showWaiting()
}

function connect() {
    clearTimeout(retry)
    if (document.hidden) return source?.close()
    if (source?.readyState < EventSource.CLOSED) return
    source = new EventSource(api("events", { filter: here.filter, after: position }))
    source.onopen = position ? () => tell() : lookAround
    source.onerror = lost
    source.addEventListener("request", event => {
        position = event.lastEventId
        // once a frame, however many come
        if (coming.push(JSON.parse(event.data)) == 1) requestAnimationFrame(() => take(coming.splice(0)))
    })
    source.addEventListener("gap", () => {
        document.dispatchEvent(new CustomEvent("gatebook:gap"))
        fetchAnew()
    })
}

function lost() {
    source.close()
    tell("Not live, trying again", true)
    clearTimeout(retry)
    retry = setTimeout(connect, RETRY_MS)
}

function take(requests) {
    const unknown = requests.filter(one => !rows.some(row => row.id == one.id) && !waiting.some(row => row.id == one.id))
    if (!unknown.length) return
    document.dispatchEvent(new CustomEvent("gatebook:arrived", { detail: { requests: unknown } }))
    if (following && isAtTop()) add(unknown, { fresh: true })
    else wait(unknown)
}

function wait(requests) {
    count += requests.length
    if (count <= MOST_WAITING) waiting.push(...requests)
    tellWaiting()
}

function showWaiting() {
    if (count > MOST_WAITING) fetchAnew()
    else add(waiting, { fresh: true })
    waiting = []
    count = 0
    tellWaiting()
    toTop()
}

function tellWaiting() {
    came.hidden = !count
    came.textContent = `Show ${count.toLocaleString("en")} new`
}

// What was recorded before the stream began and after the page was made.
async function lookAround() {
    tell()
    try {
        const page = await told(api("requests", { filter: here.filter, limit: PAGE }), "page")
        const meets = !rows.length || !page.next || page.requests.some(one => one.id <= rows[0].id)
        if (meets) take(page.requests)
        else replace(page)
    } catch {
        lost()
    }
}

async function fetchAnew() {
    try {
        replace(await told(api("requests", { filter: here.filter, limit: PAGE }), "page"))
    } catch {
        lost()
    }
}

function replace(page) {
    clear()
    add(page.requests)
    goOn(page.next)
}

function tell(text = following ? "Live" : "Paused", wrong = false) {
    state.textContent = text
    state.classList.toggle("wrong", wrong)
}
