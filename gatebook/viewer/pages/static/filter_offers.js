// What the filter box offers for the word at the caret: fields, operators, values that were seen, and named filters.
// Rules: what was seen is bounded, and what cannot be shown as it is, is not offered.

import { decoded, grouped, name, quoted } from "./filter_text.js"
import { named, recent } from "./saved.js"

const MOST_SHOWN = 40
const MOST_VALUES = 300 // of one field
const MOST_HEADERS = 200
const MOST_LEARNED = 20 // requests of one event
const MOST_BEFORE = 5
const LONGEST = 200
const JOINING = ["AND", "OR", "NOT"]
const SECRET = ["authorization", "cookie", "proxy-authorization"]
const ODD = /[\p{C}\p{Zl}\p{Zp}]/u
const RUN = /[()]|(?:[^ \t\r\n()"]|"(?:[^"\\]|\\[^])*(?:"|\\?$))+/g
const TERM = /^((?:[^":=<>]|"(?:[^"\\]|\\[^])*")+)([:=]|[<>]=?)([^]*)$/
const ALWAYS = {
    method: ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"], scheme: ["http", "https"],
    version: ["1.1", "1.0"], status: ["200", "413", "4xx", "5xx"], size: ["1kB", "100kB", "1MB", "10MB"],
    truncated: ["true", "false"], since: ["15m", "1h", "24h", "7d", "30d"], until: ["15m", "1h", "24h", "7d"],
}
const OPERATORS = {
    ":": "is", "=": "is exactly", ">": "is more than", ">=": "is at least", "<": "is less than", "<=": "is at most",
}
const PARTS = { target: "contains", header: "contains", body: "contains" }

const seen = new Map // by field, a map from each value to how often it was there
let fields = []

// Takes the fields as /_/api/filter has them.
export function know(found) {
    fields = found.map(({ name, operators, help }) => {
        return { word: name.split(".")[0], takesKey: name.includes("."), operators, help }
    })
}

// Takes requests as the API has them.
export function learn(requests) {
    for (const one of requests) {
        for (const field of ["method", "client", "peer", "replica"]) count(field, one[field])
        if (one.target.includes("?")) count("target", one.target)
        learnPath(one.target.split(/[?#]/, 1)[0])
        for (const [name, value] of one.headers) learnHeader(name.toLowerCase(), value)
    }
}

export function learnSome(requests) {
    learn(requests.slice(0, MOST_LEARNED))
}

// What may stand for text.slice(from, to): { from, to, begun, options: [{ written, label, help, more }] }.
// `begun`: some of it is there already. `more`: there is something to be written behind it, so offer on.
export function offers(text, caret) {
    const nothing = { from: caret, to: caret, begun: false, options: [] }
    if (!/^(?:[ \t()]|$)/.test(text.slice(caret))) return nothing
    const last = [...text.slice(0, caret).matchAll(RUN)].at(-1)
    const touches = last && last.index + last[0].length == caret && !/^[()]$/.test(last[0])
    const run = touches ? last[0] : "", word = run.replace(/^-+/, "")
    const [, field, operator, value] = TERM.exec(word) ?? []
    const found = field ? values(field, operator, value) : word.startsWith('"') ? [] : words(word, text)
    const begun = (field ? value : word) != ""
    return { from: caret - word.length, to: caret, begun, options: found.slice(0, MOST_SHOWN) }
}

function words(word, text) {
    const others = text.trim() != word
    const saved = named().filter(one => word ? includes(one.name, word) : !others)
        .map(one => ({ written: others ? grouped(one.filter) : one.filter, label: one.name, help: one.filter }))
    const before = (text ? [] : recent().slice(0, MOST_BEFORE))
        .map(filter => ({ written: filter, label: filter, help: "used before" }))
    const begun = fields.filter(field => field.word.startsWith(word) && (field.word != word || field.takesKey))
    const joining = others && word ? JOINING.filter(one => one.startsWith(word) && one != word) : []
    const found = [...operators(word), ...headers(word), ...begun.map(offered), ...joining.map(bare)]
    return word ? [...found, ...saved] : [...saved, ...before, ...found]
}

function bare(word) {
    return { written: word, label: word, help: "" }
}

function offered({ word, takesKey, operators, help }) {
    const written = word + (takesKey ? "." : operators.length > 2 ? "" : ":")
    return { written, label: written, help, more: true }
}

// Those that a whole name can have behind it.
function operators(word) {
    const [begin] = word.split(".", 1), field = fields.find(one => one.word == begin)
    if (!field || field.takesKey != word.length > begin.length + 1) return []
    if (begin == "header" && !seen.has(word.toLowerCase())) return []
    return field.operators.map(sign => ({
        written: word + sign, label: word + sign, help: sign == ":" && PARTS[begin] || OPERATORS[sign], more: true,
    }))
}

function headers(word) {
    if (!word.startsWith("header.")) return []
    return [...seen.keys()].filter(key => key.startsWith(word.toLowerCase()) && key != word.toLowerCase())
        .sort((a, b) => total(b) - total(a))
        .map(key => "header." + name(key.slice(7))).map(written => ({ written, label: written, help: "", more: true }))
}

function values(field, operator, written) {
    const key = field.startsWith("header.") ? field.replaceAll('"', "").toLowerCase() : field
    const typed = written.startsWith('"') ? written.slice(1).replace(/"$/, "").replace(/\\(["\\])/g, "$1") : written
    const known = [...seen.get(key) ?? []].sort(([, a], [, b]) => b - a).map(([value]) => value)
    const always = (ALWAYS[field] ?? []).filter(value => !value.endsWith("xx") || ":=".includes(operator))
    const found = [...new Set([...known, ...always])].map(value => [value, quoted(value, operator)])
    if (field == "path" && operator == ":") found.push(...below(known).map(value => [value, value]))
    if (key.startsWith("header.") && operator == ":") found.push(["*", "*"])
    return found.filter(([value, said]) => includes(value, typed) && said != written)
        .sort(([a], [b]) => b.startsWith(typed) - a.startsWith(typed))
        .map(([value, said]) => ({ written: field + operator + said, label: value, help: "" }))
}

// What several paths have in common, up to a slash.
function below(paths) {
    const folders = paths.flatMap(path =>
        [...path.matchAll(/\//g)].slice(1, 4).map(slash => path.slice(0, slash.index + 1)))
    return [...new Set(folders)].filter(folder => folder == quoted(folder, ":")).map(folder => folder + "*")
}

function includes(text, part) {
    return text.toLowerCase().includes(part.toLowerCase())
}

function total(key) {
    return [...seen.get(key).values()].reduce((sum, count) => sum + count, 0)
}

function learnPath(path) {
    if (path.startsWith("/")) count("path", path)
}

function learnHeader(name, value) {
    const key = "header." + decoded(name)
    if (!seen.has(key) && (seen.size > MOST_HEADERS || !fit(decoded(name)))) return
    if (!seen.has(key)) seen.set(key, new Map)
    if (!SECRET.includes(name)) count(key, value)
}

function count(field, wire) {
    const value = decoded(wire)
    if (!fit(value)) return
    if (!seen.has(field)) seen.set(field, new Map)
    const counts = seen.get(field)
    if (counts.has(value) || counts.size < MOST_VALUES) counts.set(value, (counts.get(value) ?? 0) + 1)
}

function fit(value) {
    return Boolean(value) && value.length <= LONGEST && !ODD.test(value)
}
