// Which span of time a picture shows, in which steps, and what stands on its axis. Pure; times are Unix milliseconds,
// and a step is told by its number since 1970, as the API aligns them.

const S = 1e3, M = 60 * S, H = 60 * M, D = 24 * H
const SPANS = [15 * M, H, 6 * H, D, 7 * D, 30 * D]
const NICE = [
    ...[1, 2, 5, 10, 15, 30].map(n => n * S), ...[1, 2, 5, 10, 15, 30].map(n => n * M),
    ...[1, 2, 3, 6, 12].map(n => n * H), ...[1, 2, 7, 14, 30, 90, 365].map(n => n * D),
]
const MOST_STEPS = 120
const RELATIVE = /(?:^|[ (])since[:=](\d+)([smhdw])(?![^ )])/g
const UNITS = { s: S, m: M, h: H, d: D, w: 7 * D }
const CLOSE_MS = 10 * S // as clocks differ, and an answer takes its time

// What the filter says, {since, until}, each may be null; `back`: the duration that its span reaches back from now, or
// null; `oldest`: the oldest request listed, or null. Null where the filter leaves no time at all.
export function planned({ since, until }, back, oldest, now) {
    const end = until == null || until > now ? now : until, age = end - (oldest ?? end)
    const begin = since ?? end - (SPANS.find(span => span >= age) ?? SPANS.at(-1))
    if (begin >= end) return null
    return {
        begin, until, step: nice(NICE, (back ?? end - begin) / MOST_STEPS),
        length: back ?? (since == null && end == now ? end - begin : null), // null: its beginning stays where it is
        given: since != null,
    }
}

// The steps that it shows now: from (included) to (excluded), and the times that these two stand for.
export function steps({ begin, until, step, length }, now) {
    const end = until == null || until > now ? now : until
    const from = Math.floor((length ? end - length : begin) / step)
    const to = Math.max(Math.ceil(end / step), from + 1)
    return { from, to, step, size: to - from, begin: from * step, end: to * step, moves: end == now }
}

// The duration that a filter of this span reaches back from now, in milliseconds; null if its beginning stays.
export function duration(filter, { since }, now) {
    return [...filter.matchAll(RELATIVE)].map(([, n, unit]) => n * UNITS[unit])
        .find(ms => since != null && Math.abs(now - ms - since) < CLOSE_MS) ?? null
}

// Whether it has grown so much that it wants wider steps.
export const outgrown = ({ size }) => size > 1.5 * MOST_STEPS

// As the API takes a step.
export function named(step) {
    const [unit, name] = [[D, "d"], [H, "h"], [M, "m"], [S, "s"]].find(([unit]) => step % unit == 0)
    return step / unit + name
}

// A round number that is not below `least`.
export function round(least) {
    const ten = 10 ** Math.floor(Math.log10(Math.max(least, 1)))
    return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map(n => n * ten).find(n => n >= least)
}

// The times on the axis, at most `most`, round ones in local time: [{at, label, day}].
export function ticks({ begin, end }, most) {
    const width = nice(NICE, (end - begin) / Math.max(most, 1)), found = []
    for (let at = floored(begin, width); at < end; at = following(at, width)) {
        const date = new Date(at), day = width >= D || !(date.getHours() || date.getMinutes() || date.getSeconds())
        if (at >= begin) found.push({ at, day, label: day ? dayOf(date) : clock(date, width % M != 0) })
    }
    return found
}

// A span of time in words, local, with the day where it is not today.
export function words(begin, end, now) {
    const a = new Date(begin), b = new Date(end), seconds = begin % M != 0 || end % M != 0
    const today = dayOf(a) == dayOf(new Date(now)) && end - begin < D, same = dayOf(a) == dayOf(b) && end - begin < D
    const year = a.getFullYear() == new Date(now).getFullYear() ? "" : " " + a.getFullYear()
    const until = `${same ? "" : dayOf(b) + " "}${clock(b, seconds)}`
    return `${today ? "" : dayOf(a) + year + " "}${clock(a, seconds)} to ${until}`
}

export function utc(begin, end) {
    const [a, b] = [begin, end].map(at => new Date(at).toISOString().slice(0, 19).split("T"))
    return `${a.join(" ")} to ${a[0] == b[0] ? b[1] : b.join(" ")}`
}

// How long that is: 40 s, 3 min, 2 h.
export function lasting(ms) {
    const units = [[D, "d"], [H, "h"], [M, "min"], [S, "s"]], at = units.findIndex(([unit]) => ms >= unit)
    if (at < 0) return "0 s"
    const [unit, name] = units[at], [smaller, small] = units[at + 1] ?? units[at], rest = Math.floor(ms % unit / smaller)
    return `${Math.floor(ms / unit)} ${name}${rest ? ` ${rest} ${small}` : ""}`
}

// The same, exactly, where it is round: 1 h, 15 min.
export function exactly(ms) {
    if (ms % D == 0 && ms > D) return `${ms / D} days`
    const [unit, name] = [[H, "h"], [M, "min"], [S, "s"]].find(([unit]) => ms % unit == 0) ?? [S, "s"]
    return `${Math.round(ms / unit)} ${name}`
}

const nice = (all, least) => all.find(one => one >= least) ?? all.at(-1) * Math.ceil(least / all.at(-1))
const two = number => String(number).padStart(2, "0")
const dayOf = date => date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })

function clock(date, seconds) {
    return [date.getHours(), date.getMinutes(), ...(seconds ? [date.getSeconds()] : [])].map(two).join(":")
}

// The clock is put forward and back, and the offset to UTC need not be of whole hours: so hours and days are counted by
// the calendar, and less than an hour from the local hour on.
function floored(at, width) {
    const date = new Date(at), minutes = Math.max(width, M) / M
    if (width < H) date.setMinutes(Math.floor(date.getMinutes() / minutes) * minutes, 0, 0)
    else date.setHours(width < D ? Math.floor(date.getHours() * H / width) * width / H : 0, 0, 0, 0)
    return +date
}

function following(at, width) {
    if (width < H) return at + width
    const date = new Date(at)
    if (width < D) date.setHours(date.getHours() + width / H)
    else date.setDate(date.getDate() + Math.round(width / D))
    return +date > at ? +date : at + width
}
