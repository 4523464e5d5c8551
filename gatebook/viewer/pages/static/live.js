// Follows what comes in. New requests go on top of the list while its top is in sight and nobody has paused it; else
// they are counted and wait for a click.
//
// Rule: nothing is missed and nothing comes twice. The stream is opened first and the newest page looked at then, so
// what was committed in between is in one of them; what the list has already it does not take again. The stream is closed
// while nobody looks, since a browser has six connections to a host for all its tabs, and goes on where it was.
import { api, here } from "./address.js"
import { add, has, isAtTop, replace, rows, toTop } from "./list.js"
import { goOn, isMore } from "./older.js"
import { told } from "./told.js"

const MOST_WAITING = 1000 // beyond, the list is fetched anew instead
const RETRY_MS = 3000
const PAGE = 100

let source, retry, position = "", looked = false // `looked`: at what came between the page and the stream
let following = true, coming = [], meanwhile = null
let waiting = new Map(), count = 0, gap = false // `gap`: more waits than is counted
let button, came, state

export function start() {
    button = document.querySelector("#follow")
    came = document.querySelector("#came")
    state = document.querySelector("#live")
    if (!button || !document.body.dataset.live) return button?.remove()
    button.onclick = toggle
    came.onclick = () => {
        showWaiting()
        toTop()
    }
    document.addEventListener("visibilitychange", connect)
    addEventListener("pagehide", () => source?.close())
    addEventListener("pageshow", connect)
    addEventListener("scroll", showIfInSight, { passive: true })
    document.addEventListener("gatebook:closed", showIfInSight)
    connect()
}

// Follows, or pauses.
export function toggle() {
    if (!button?.isConnected) return
    following = !following
    button.ariaPressed = following
    tell(following ? "Live" : "Paused")
    if (!following || !isWaiting()) return
    showWaiting()
    toTop()
}

function connect() {
    clearTimeout(retry)
    if (document.hidden) return source?.close()
    if (source?.readyState < EventSource.CLOSED) return
    if (!position) looked = false
    source = new EventSource(api("events", { filter: here.filter, after: position }))
    source.onopen = () => looked ? tell() : lookAround()
    source.onerror = lost
    source.addEventListener("request", event => {
        position = event.lastEventId
        // once a frame, however many come
        if (coming.push(JSON.parse(event.data)) == 1) requestAnimationFrame(() => take(coming.splice(0)))
    })
    source.addEventListener("gap", event => {
        document.dispatchEvent(new CustomEvent("gatebook:gap"))
        position = event.lastEventId || position
        gap = true
        tellWaiting()
        showIfInSight()
    })
}

function lost() {
    source.close()
    tell("Not live, trying again", true)
    clearTimeout(retry)
    retry = setTimeout(connect, RETRY_MS)
}

function take(requests) {
    const unknown = requests.filter(({ id }) => !has(id) && !waiting.has(id))
    if (!unknown.length) return
    document.dispatchEvent(new CustomEvent("gatebook:arrived", { detail: { requests: unknown } }))
    if (following && isAtTop()) put(unknown)
    else wait(unknown)
}

function put(requests) {
    add(requests, { fresh: true })
    meanwhile?.push(...requests)
}

function wait(requests) {
    count += requests.length
    if (count <= MOST_WAITING) for (const one of requests) waiting.set(one.id, one)
    tellWaiting()
}

function isWaiting() {
    return count > 0 || gap
}

function showIfInSight() {
    if (following && isWaiting() && isAtTop()) showWaiting()
}

function showWaiting() {
    if (meanwhile) return
    if (gap || count > MOST_WAITING) fetchAnew()
    else put([...waiting.values()])
    waitForNone()
}

function waitForNone() {
    waiting.clear()
    count = 0
    gap = false
    tellWaiting()
}

function tellWaiting() {
    came.hidden = !isWaiting()
    came.textContent = gap ? "Show the newest" : `Show ${count.toLocaleString("en")} new`
}

// What was recorded before the stream began and after the page was made.
async function lookAround() {
    tell()
    try {
        const page = await told(api("requests", { filter: here.filter, limit: PAGE }), "page")
        looked = true
        if (!rows.length) goOn(page.next)
        const oldest = isMore() && rows.length ? rows.at(-1).id : "" // what is behind it comes by scrolling
        if (!rows.length || !page.next || page.requests.some(({ id }) => has(id)))
            return take(page.requests.filter(({ id }) => id > oldest))
        gap = true
        tellWaiting()
        showIfInSight()
    } catch {
        lost()
    }
}

// The newest page in place of all that is listed, and what comes while it is asked for.
async function fetchAnew() {
    meanwhile = []
    try {
        const page = await told(api("requests", { filter: here.filter, limit: PAGE }), "page")
        goOn(page.next)
        replace(page.requests)
        add(meanwhile, { fresh: true })
        meanwhile = null
        showIfInSight()
    } catch {
        meanwhile = null
        gap = true
        tellWaiting()
    }
}

function tell(text = following ? "Live" : "Paused", wrong = false) {
    state.textContent = text
    state.classList.toggle("wrong", wrong)
}
