// How things are written for a reader. What a client sent goes through shown(), and only ever into textContent.

// What is no letter, number, sign or plain blank; what is drawn as nothing; and marks beyond four on one character, which
// are drawn over the lines around it. See viewer/shown/text.py.
const ODD = new RegExp([
    "(?! )[\\p{C}\\p{Z}]",
    "[\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180d\\u180f\\u2800\\u3164\\uffa0\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}]",
    "(?<=\\p{M}{4})\\p{M}",
].join("|"), "gu")

// Wire text (one character per byte) as its sender most likely meant it: UTF-8 where it is that, and its start if it is
// long. U+FFFD stands for what could hide, reorder or break text.
export function shown(wire, most = 300) {
    let head = wire.slice(0, most)
    const cut = head != wire
    if (/[\x80-\xff]/.test(head)) {
        const bytes = Uint8Array.from(head, char => char.charCodeAt(0))
        try {
            head = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: cut })
        } catch {} // no UTF-8: a character for each byte
    }
    return readable(head) + (cut ? "…" : "")
}

// The same for text that is decoded already.
export function readable(text) {
    return text.replace(ODD, "\ufffd")
}

// The class of a replica's colour, as gatebook.look.hue has it.
export function hue(replica) {
    return "r" + [...replica].reduce((sum, char) => sum + char.codePointAt(0), 0) % 8
}

// The first 48 bits of an id are Unix milliseconds.
export function timeOf(id) {
    return parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" }
const clocks = new Intl.DateTimeFormat("en-GB", CLOCK)
const days = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" })

// 13:37:01.250, local.
export function clock(ms) {
    return clocks.format(ms).replace(",", ".")
}

// 2026-11-23, local.
export function day(ms) {
    return days.format(ms)
}

// 12 s, 5 min, 3 h, 8 d: how long ago.
export function ago(ms) {
    const seconds = Math.max(0, Math.floor((Date.now() - ms) / 1000))
    for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]])
        if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`
    return `${seconds} s`
}

// Bytes, as template.py writes them.
export function size(count) {
    if (count == null) return "?"
    for (const [length, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]])
        if (count >= length) return `${(count / length).toFixed(1)} ${unit}`
    return `${count} B`
}

// Changes what an element says, if that is something else: what stays can stay selected, and is not read out again.
export function write(element, text) {
    if (element.textContent != text) element.textContent = text
}

// Tells it to whoever does not see it.
export function say(text) {
    document.querySelector("#said").textContent = text
}
