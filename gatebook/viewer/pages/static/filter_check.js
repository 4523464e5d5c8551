// Whether a filter is right, which only the server knows: there is one grammar, and it is there.
import { api } from "./address.js"

const WITHIN_MS = 2000

// What is wrong with it: { message, position } with the position in UTF-16 units; null when nothing is, or when nobody
// can tell, since whoever then asks for the page is told by it. Rejects when it takes too long.
export async function check(filter, signal = new AbortController().signal) {
    if (!filter.trim()) return null
    const answer = await fetch(api("filter/check", { filter }), {
        signal: AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)]),
    })
    if (answer.status != 400) return null
    const { detail, position, expected } = await answer.json()
    return { message: detail, expected, position: inUnits(filter, position) }
}

// A position that is counted in characters, as Python does, in UTF-16 units.
export function inUnits(text, position) {
    return [...text].slice(0, position).join("").length
}
