// Asks the API how many requests there are, and holds the answers together with what comes in live.
//
// Rule: no request is counted twice, and none is left out. What is counted ends at `bound`, a moment just ahead of the
// question; what was received then or later comes live. It is counted in two stretches, the `tail` (the last seconds)
// and the `base` before it. Nobody can tell which of what is being committed just now is in the tail's count already,
// so what comes live and is older than the bound counts only for now (`soon`), until the tail has been counted again.

import { api } from "./address.js"
import { told } from "./told.js"

export const REST = Symbol("other values")
const DELAY_MS = 1000 // from a commit to its event, at most
const CLOCK_MS = 1500 // the Date header is of whole seconds; less than that is no difference of clocks

// What the filter says about time, {since, until}, and by how much the server's clock is ahead of ours.
// Throws what is wrong with the filter, in words; `again` then tells that it may go better later.
export async function checked(filter, signal) {
    if (document.querySelector("#filter-wrong[data-position]")) throw wrong() // the page said so already
    const before = Date.now(), answer = await fetch(api("filter/check", { filter }), { signal })
    const said = await answer.json().catch(() => ({}))
    if (!answer.ok) throw answer.status == 400 ? wrong() : new Error(said.detail ?? `the viewer answers ${answer.status}`)
    const ahead = Date.parse(answer.headers.get("date")) + 500 - (before + Date.now()) / 2
    const time = text => text == null ? null : Date.parse(text)
    return { since: time(said.since), until: time(said.until), ahead: Math.abs(ahead) > CLOCK_MS ? ahead : 0 }
}

function wrong() {
    return Object.assign(new Error("Nothing can be counted until the filter is right"), { again: false })
}

// All parts of a count, newest first, each as {groups, others, next, reached}; `progress` is called meanwhile with the
// time down to which everything is counted.
export async function* counted(question, signal, progress = () => {}) {
    const reached = ({ reached }) => reached && progress(Date.parse(reached))
    let cursor = null
    do {
        const part = await told(api("counts", { ...question, cursor }), "counts", { signal, progress: reached })
        yield { ...part, reached: part.reached && Date.parse(part.reached) }
        cursor = part.next
    } while (cursor)
}

// How many there are of each value in each step. `from`: the step that the tail begins with.
export class Tally {
    constructor({ step, bound, from }) {
        Object.assign(this, { step, bound, from, base: new Layer(step), tail: new Layer(step), soon: new Layer(step) })
        this.live = new Layer(step)
        this.asked = { base: null, tail: null } // when, on our clock and on the server's
        this.settled = false
    }

    // Counts one that came in live.
    arrive(value, at, now) {
        const stretch = Math.floor(at / this.step) < this.from ? "base" : "tail", asked = this.asked[stretch]
        if (at >= this.bound || this.settled && now > asked.ours + DELAY_MS) return this.live.add(value, at)
        if (stretch == "base" ? asked && now > asked.ours + DELAY_MS : asked && at >= asked.theirs) {
            (stretch == "base" ? this.live : this.soon).add(value, at)
        }
    }

    // The tail was counted again.
    settle(tail) {
        Object.assign(this, { tail, settled: true, soon: new Layer(this.step) })
    }

    // Calls told(step, value, count) for each between the steps, and forgets what is older.
    each(from, to, told) {
        for (const { steps } of [this.base, this.tail, this.soon, this.live]) {
            for (const [step, counts] of steps) {
                if (step < from) steps.delete(step)
                else if (step < to) for (const [value, count] of counts) told(step, value, count)
            }
        }
    }
}

// What was counted at one time.
export class Layer {
    constructor(step) {
        Object.assign(this, { step, steps: new Map, others: 0 })
    }

    add(value, at, count = 1) {
        const step = Math.floor(at / this.step)
        let counts = this.steps.get(step)
        if (!counts) this.steps.set(step, counts = new Map)
        counts.set(value, (counts.get(value) ?? 0) + count)
    }

    take({ groups, others }) {
        for (const { start, value, count } of groups) this.add(value, Date.parse(start), count)
        this.others += others
    }

    // `others` have no time of their own: they are what is left of all. `groups`: of any value.
    place(groups) {
        for (const { start, count } of groups) {
            const at = Date.parse(start), counts = this.steps.get(Math.floor(at / this.step)) ?? new Map
            const rest = count - [...counts.values()].reduce((sum, one) => sum + one, 0)
            if (rest > 0) this.add(REST, at, rest)
        }
        this.others = 0
    }
}
