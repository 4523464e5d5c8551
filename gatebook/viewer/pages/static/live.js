// Follows what comes in. New requests go on top of the list while its top is in sight and nobody has paused it, or is just
// pointing at a row, which would not be there any more when it is clicked; else they are counted and wait for a click.
//
// Rule: nothing is missed and nothing comes twice. The stream is opened first and the newest page looked at then, so
// what was committed in between is in one of them; what the list has already it does not take again. The stream is closed
// while nobody looks, since a browser has six connections to a host for all its tabs, and goes on where it was.
import { api, here } from "./address.js"
import { add, has, isAtTop, replace, rows, toTop } from "./list.js"
import { goOn, isMore } from "./older.js"
import { write } from "./text.js"
import { told } from "./told.js"

const MOST_WAITING = 1000 // beyond, the list is fetched anew instead
const MOST_LIT = 10 // where more come at once, none lights up
const TAKE_EVERY_MS = 150
const STEADY_MS = 800 // after the pointer has moved
const LONG_AWAY_MS = 30e3 // beyond, the newest page is here sooner than all that came meanwhile
const RETRY_MS = 3000
const PAGE = 100

let source, retry, position = "", looked = false // `looked`: at what came between the page and the stream
let following = true, coming = [], meanwhile = null
let waiting = new Map(), count = 0, gap = false // `gap`: more waits than is counted
let pointedAt = -Infinity, letGo, hiddenAt = Infinity, asking = new AbortController()
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
    for (const name of ["pointermove", "pointerdown"])
        document.querySelector("#rows").addEventListener(name, point, { passive: true })
    document.addEventListener("visibilitychange", connect)
    addEventListener("pagehide", leave)
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
    if (document.hidden) return leave()
    if (source?.readyState < EventSource.CLOSED) return
    if (Date.now() - hiddenAt > LONG_AWAY_MS) position = ""
    hiddenAt = Infinity
    if (!position) looked = false
    source = new EventSource(api("events", { filter: here.filter, after: position }))
    source.onopen = () => {
        tell()
        if (looked) showIfInSight()
        else lookAround()
    }
    source.onerror = lost
    source.addEventListener("request", event => {
        position = event.lastEventId
        if (coming.push(JSON.parse(event.data)) == 1) setTimeout(() => take(coming.splice(0)), TAKE_EVERY_MS)
    })
    source.addEventListener("gap", event => {
        document.dispatchEvent(new CustomEvent("gatebook:gap"))
        position = event.lastEventId || position
        gap = true
        tellWaiting()
        showIfInSight()
    })
}

function leave() {
    source?.close()
    asking.abort()
    hiddenAt = Math.min(hiddenAt, Date.now())
}

function lost() {
    source.close()
    asking.abort()
    tell("Not live, trying again", true)
    clearTimeout(retry)
    retry = setTimeout(connect, RETRY_MS)
}

function take(requests) {
    const unknown = requests.filter(({ id }) => !has(id) && !waiting.has(id))
    if (!unknown.length) return
    document.dispatchEvent(new CustomEvent("gatebook:arrived", { detail: { requests: unknown } }))
    if (following && isAtTop() && !isPointedAt()) put(unknown)
    else wait(unknown)
}

function put(requests) {
    add(requests, { fresh: requests.length < MOST_LIT })
    meanwhile?.push(...requests)
}

function wait(requests) {
    count += requests.length
    if (count <= MOST_WAITING) for (const one of requests) waiting.set(one.id, one)
    tellWaiting()
}

function point() {
    pointedAt = performance.now()
    clearTimeout(letGo)
    letGo = setTimeout(showIfInSight, STEADY_MS)
}

function isPointedAt() {
    return performance.now() - pointedAt < STEADY_MS - 10
}

function isWaiting() {
    return count > 0 || gap
}

function showIfInSight() {
    if (following && isWaiting() && isAtTop() && !isPointedAt()) showWaiting()
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
    try {
        const page = await newest()
        looked = true
        if (!rows.length) goOn(page.next)
        const oldest = isMore() && rows.length ? rows.at(-1).id : "" // what is behind it comes by scrolling
        if (!rows.length || !page.next || page.requests.some(({ id }) => has(id)))
            return take(page.requests.filter(({ id }) => id > oldest))
        document.dispatchEvent(new CustomEvent("gatebook:gap"))
        gap = true
        tellWaiting()
        showIfInSight()
    } catch (error) {
        if (error.name != "AbortError") lost()
    }
}

// The newest page in place of all that is listed, and what comes while it is asked for.
async function fetchAnew() {
    meanwhile = []
    try {
        const page = await newest()
        goOn(page.next)
        replace(page.requests)
        add(meanwhile)
        meanwhile = null
        for (const id of waiting.keys()) if (has(id)) waiting.delete(id)
        if (count <= MOST_WAITING) count = waiting.size
        tellWaiting()
        showIfInSight()
    } catch (error) {
        meanwhile = null
        gap = true
        tellWaiting()
        if (error.name != "AbortError") lost()
    }
}

function newest() {
    asking.abort()
    asking = new AbortController()
    return told(api("requests", { filter: here.filter, limit: PAGE }), "page", { signal: asking.signal })
}

function tell(text = following ? "Live" : "Paused", wrong = false) {
    write(state, text)
    state.classList.toggle("wrong", wrong)
}
