// What this browser keeps between pages, as JSON; where it keeps nothing, this page does.
const memory = new Map()

export function stored(key, otherwise) {
    try {
        return JSON.parse(localStorage.getItem(key)) ?? otherwise
    } catch {
        return memory.get(key) ?? otherwise
    }
}

export function store(key, value) {
    memory.set(key, value)
    try {
        localStorage.setItem(key, JSON.stringify(value))
    } catch {} // kept in memory
}
