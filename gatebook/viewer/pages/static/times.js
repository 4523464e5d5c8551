// Times in the reader's own zone, with UTC on hover.
import { ago, clock, day, write } from "./text.js"

export function start() {
    tellTimes(document)
    // An age does not stay what it is; the time beside it does, and can stay selected.
    setInterval(() => {
        if (document.hidden) return
        for (const one of document.querySelectorAll("time .ago")) write(one, age(one.parentNode))
    }, 1000)
}

// All that a part of the page tells; rows of the list see to their own.
export function tellTimes(part) {
    for (const time of part.querySelectorAll("time[datetime]")) {
        if (time.closest("#rows")) continue
        time.title = new Date(time.dateTime).toISOString()
        tell(time)
    }
}

function tell(time) {
    const ms = Date.parse(time.dateTime)
    time.textContent = `${day(ms)} ${clock(ms)}`
    if (!time.classList.contains("full")) return
    const part = document.createElement("span")
    part.className = "ago"
    part.textContent = age(time)
    time.append(part)
}

function age(time) {
    const ms = Date.parse(time.dateTime), ahead = ms - Date.now() // of a minute, clocks may differ
    return ahead > 60e3 ? `, in ${ago(Date.now() - ahead)}` : `, ${ago(ms)} ago`
}
