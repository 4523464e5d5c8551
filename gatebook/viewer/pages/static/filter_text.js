// Filters written by the program. term() and both() are gatebook/filter/written.py once more, and a test compares them.
// Rule: what is written means that very value, whatever characters are in it, or null is returned.

const MOST_CHARACTERS = 4096
const EXACTLY = ["method", "target", "header", "body"] // where : asks for less than the whole value, or ignores case
const ENDS_A_VALUE = /[ \t\r\n()"]/
const ENDS_A_NAME = /[ \t\r\n()":=<>]/
const UNWRITABLE = /[\0\r\n\p{Surrogate}]/u // no column has them, a box of one line, or UTF-8
const TOKEN = /[()]|((?:AND|OR|NOT)(?![^ \t\r\n()"])|-)|(?:[^ \t\r\n()"]|"(?:[^"\\]|\\[^])*(?:"|\\?$))+/g
const TIME = /^(?:-|NOT[ \t\r\n]|[ \t\r\n])*(?:since|until)[:=]/
const BLANKS = /^[ \t\r\n]+|[ \t\r\n]+$/g

// The term that finds this value alone; null when the language cannot say it, such as bytes that are no UTF-8.
// A header's name stands behind the dot, header.X-Event, or is the key; the keys of a value in JSON likewise, where
// those behind dots have none in them. Values of json are Unicode, as JSON is; all others are wire text.
export function term(field, value, ...keys) {
    const [word] = field.split(".", 1), behind = field.slice(word.length + 1)
    if (behind && !keys.length) keys = word == "json" ? behind.split(".") : [behind]
    const [said, ...names] = [value, ...keys].map(text => word == "json" ? text : decoded(text))
    if ([said, ...names].some(text => text == null || UNWRITABLE.test(text))) return null
    if (word == "header" && keys.includes("")) return null
    const operator = EXACTLY.includes(word) ? "=" : ":"
    const found = [word, ...names.map(key => name(key, word != "json"))].join(".") + operator + quoted(said, operator)
    return [...found].length <= MOST_CHARACTERS ? found : null
}

// A value as it stands behind the operator, in quotes if it has to.
export function quoted(text, operator = "=") {
    return text && !ENDS_A_VALUE.test(text) && !(operator == ":" && text.includes("*")) ? text : inQuotes(text)
}

// A header's name or a key, in quotes if it has to; without `dots`, those are quoted as well.
export function name(key, dots = true) {
    return key && !ENDS_A_NAME.test(key) && (dots || !key.includes(".")) ? key : inQuotes(key)
}

// A filter of what matches both; the same one if it says so already.
export function both(filter, term) {
    filter = filter.replace(BLANKS, "")
    const [found, either] = parts(filter)
    if (found.includes(term) && !either) return filter
    return filter ? `${grouped(filter)} ${term}` : term
}

// The filter as it can stand beside other terms.
export function grouped(filter) {
    return parts(filter)[1] ? `(${filter})` : filter
}

// The filter of what lies between two times (Unix milliseconds) instead of those that it names beside its other terms.
// A null leaves that end open; a text, such as "15m", is written as it is.
export function zoomed(filter, sinceMs, untilMs) {
    return [["since", sinceMs], ["until", untilMs]].filter(([, at]) => at != null)
        .map(([name, at]) => `${name}:${typeof at == "number" ? new Date(at).toISOString() : at}`)
        .reduce(both, unzoomed(filter))
}

// The filter without the times that it names beside its other terms.
export function unzoomed(filter) {
    const [found, either] = parts(filter)
    const kept = either ? found : found.filter(part => !TIME.test(part))
    return either || kept.length == found.length ? filter.replace(BLANKS, "") : kept.join(" ")
}

// What stands beside each other at the top, without AND, and whether there is an OR.
function parts(filter) {
    const found = []
    let either = false, depth = 0, start = null
    for (const token of filter.matchAll(TOKEN)) {
        depth += { "(": 1, ")": -1 }[token[0]] ?? 0
        start ??= token.index
        if (depth) continue
        if (!token[1]) found.push(filter.slice(start, token.index + token[0].length))
        either ||= token[1] == "OR"
        if (token[1] != "NOT" && token[1] != "-") start = null
    }
    return [found, either]
}

// Wire text as Unicode, null if it is no UTF-8.
export function decoded(wire) {
    try {
        return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
            .decode(Uint8Array.from(wire, one => {
                if (one.codePointAt() > 255) throw new RangeError
                return one.codePointAt()
            }))
    } catch {
        return null
    }
}

function inQuotes(text) {
    return `"${text.replace(/["\\]/g, "\\$&")}"`
}
