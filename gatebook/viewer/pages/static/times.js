// Times in the reader's own zone, with UTC on hover.
import { ago, clock, day } from "./text.js"

// All that a part of the page tells; rows of the list see to their own.
export function tellTimes(part) {
    for (const time of part.querySelectorAll("time[datetime]")) {
        if (time.closest("#rows")) continue
        const ms = Date.parse(time.dateTime)
        time.title = new Date(ms).toISOString()
        time.textContent = `${day(ms)} ${clock(ms)}${time.classList.contains("full") ? `, ${ago(ms)} ago` : ""}`
    }
}
