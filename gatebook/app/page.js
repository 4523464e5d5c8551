// Keeps the page fresh from the viewer's events, and its list to begin with, which record nothing; `/` itself is never
// fetched again. The stream is closed while nobody looks: a browser has six connections to a host, for all its tabs.
// What a client sent gets in by textContent alone. Shows everything just as page.py does.
// An element's id is a global name: own, others, lanes, say, live, copy, curl.
const mine = own.rows[1]
const local = date => new Date(date - date.getTimezoneOffset() * 6e4).toISOString().slice(0, -1).split("T")
let source, paused, coming = []

function shown(wire) {
    let head = wire.slice(0, 120), cut = head != wire
    try {
        head = decodeURIComponent(escape(cut ? head.replace(/[\xc2-\xf4][\x80-\xbf]{0,2}$/, "") : head))
    } catch {}
    return head.replace(/(?!\x20)[\p{C}\p{Z}]/gu, "\ufffd") + (cut ? "…" : "")
}

const hue = name => "r" + [...name].reduce((sum, char) => sum + char.codePointAt(), 0) % 8

// Local time, and the day only when it is not today's. The first 48 bits of the id are milliseconds.
function localise(row) {
    const time = row.querySelector("time"), id = row.id = time.parentNode.pathname.slice(12)
    const utc = new Date(+("0x" + id.slice(0, 8) + id.slice(9, 13))), [day, clock] = local(utc)
    time.title = time.dateTime = utc.toISOString()
    time.textContent = day == local(new Date)[0] ? clock : day + " " + clock
}

function made(one) {
    const row = mine.cloneNode(true), cells = row.cells
    row.querySelector("a").href = "/_/requests/" + one.id
    localise(row);
    ["method", "target", "client", "replica"].forEach((key, n) => cells[n + 1].textContent = shown(one[key]))
    cells[4].className = hue(one.replica)
    cells[5].textContent = one.body_size?.toLocaleString("en") ?? "?"
    row.className = "new"
    return row
}

// Takes requests as the API has them. Rows that stay are not touched, so that a selection in them stays too.
function add(some) {
    for (const one of some) if (one.id != mine.id && !others.rows[one.id]) {
        others.insertBefore(made(one), [...others.rows].find(row => row.id && row.id < one.id))
        others.rows[25]?.remove()
    }
    const taken = [mine, ...others.rows].sort((a, b) => a.id < b.id ? 1 : -1)
        .slice(0, -1).map(row => row.cells[4].textContent)
    lanes.replaceChildren(...[...new Set(taken)].sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).map(name => {
        const lane = lanes.children[0].cloneNode(true), [label, { firstChild: path }, count] = lane.children
        const cells = taken.flatMap((one, n) => one == name ? [`M${24 - n} 0h.8`] : [])
        lane.className = hue(name)
        label.textContent = name
        path.setAttribute("d", cells.join(""))
        count.textContent = cells.length
        return lane
    }))
}

function tell(state) {
    if (say.textContent != state) say.textContent = state
}

// Begins or stops, whichever is due.
function connect() {
    const stop = paused || document.hidden || others.querySelector(":focus-visible")
    if (!stop == source?.readyState < 2) return
    if (stop) {
        source.close()
        return tell("Paused")
    }
    source = new EventSource("/_/api/events")
    source.addEventListener("request", ({ data }) => {
        // once a frame, however many come
        if (coming.push(JSON.parse(data)) == 1) requestAnimationFrame(() => add(coming.splice(0)))
    })
    source.onopen = async () => {
        try {
            add((await (await fetch("/_/api/requests?limit=25")).json()).requests)
            if (source.readyState == 1) tell("Live")
        } catch {
            source.onerror()
        }
    }
    source.onerror = () => {
        source.close()
        tell("Not live, retrying")
        setTimeout(connect, 3e3)
    }
}

document.querySelectorAll("tr:has(a)").forEach(localise)
document.querySelector("th").textContent = "Time, local"
live.hidden = copy.hidden = false
live.onclick = () => live.ariaPressed = paused = !paused
// execCommand, because navigator.clipboard is missing on plain http; if it fails, the line is at least selected.
copy.onclick = () => {
    getSelection().selectAllChildren(curl)
    copy.textContent = document.execCommand("copy") ? "Copied" : "Ctrl-C"
}
document.onvisibilitychange = connect
onkeyup = onclick = connect
connect()
