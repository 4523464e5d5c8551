// Where the pages are, as pages/link.py has it, and what this one is about.
import { both, term } from "./filter_text.js"

export const here = {
    filter: document.body.dataset.filter,
    by: document.body.dataset.by ?? "",
    compare: document.body.dataset.compare ?? "",
}

export function toList(query) {
    return "/_/" + written(query)
}

export function toRequest(id, query = {}) {
    return `/_/requests/${id}${written(query)}`
}

// Where a row leads.
export function ofRow(id) {
    return here.compare ? `/_/compare/${here.compare}/${id}${written({ filter: here.filter })}` : toRequest(id, { filter: here.filter })
}

// The list of what has this value too; null where a filter cannot say it.
export function narrowed(field, value) {
    const found = term(field, value)
    return found == null ? null : toList({ filter: both(here.filter, found) })
}

export function api(path, query = {}) {
    return `/_/api/${path}${written(query)}`
}

function written(query) {
    const given = Object.entries(query).filter(([, value]) => value != null && value !== "")
    return given.length ? "?" + given.map(([name, value]) => `${name}=${quoted(value)}`).join("&") : ""
}

// As Python quotes, so that each page has one address.
function quoted(value) {
    return encodeURIComponent(value).replace(/[!'()*]/g, char => "%" + char.charCodeAt().toString(16).toUpperCase())
}
