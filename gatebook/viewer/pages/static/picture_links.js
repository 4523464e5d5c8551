// Links to other spans of time: pages of their own, so that they can be opened beside this one, and gone back from.

import { here, toList } from "./address.js"
import { unzoomed, zoomed } from "./filter_text.js"

const SPANS = [["15m", "15 min"], ["1h", "1 h"], ["24h", "24 h"], ["7d", "7 d"]]

// Those that do not depend on what is shown.
export function fixed() {
    const { filter } = here, bare = unzoomed(filter)
    return [
        link("Newest", bare, bare == filter.trim()),
        ...SPANS.map(([since, words]) => [words, zoomed(filter, since, null)])
            .map(([words, to]) => link(words, to, to == filter.trim(), `The last ${words}`)),
    ]
}

// Those from one span to those beside and around it, where the filter names it.
export function beside({ begin, end, moves }, now) {
    const { filter } = here, length = end - begin
    if (unzoomed(filter) == filter.trim()) return []
    const open = at => at >= now ? null : at
    return [
        link("Earlier", zoomed(filter, begin - length, begin)),
        ...(moves ? [] : [link("Later", zoomed(filter, end, open(end + length)))]),
        link("Zoom out", zoomed(filter, begin - length, open(end + length))),
    ]
}

export function zoom(begin, end) {
    location.assign(toList({ filter: zoomed(here.filter, begin, end), by: here.by }))
}

function link(words, filter, chosen = false, title = "") {
    const one = document.createElement("a")
    one.href = toList({ filter, by: here.by })
    one.textContent = words
    if (title) one.title = title
    if (chosen) one.ariaCurrent = "true"
    return one
}
