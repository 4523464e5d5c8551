// Times in the reader's own zone, with UTC on hover.
import { ago, clock, day } from "./text.js"

// All that a part of the page tells; rows of the list see to their own.
export function tellTimes(part) {
    for (const time of part.querySelectorAll("time[datetime]")) {
        if (time.closest("#rows")) continue
        time.title = new Date(time.dateTime).toISOString()
        tell(time)
    }
}

function tell(time) {
    const ms = Date.parse(time.dateTime), age = time.classList.contains("full") ? `, ${ago(ms)} ago` : ""
    const text = `${day(ms)} ${clock(ms)}${age}`
    if (time.textContent != text) time.textContent = text
}

// An age does not stay what it is.
setInterval(() => {
    if (!document.hidden) document.querySelectorAll("time.full").forEach(tell)
}, 1000)
