// What the picture says in words: of all that is shown, of what is pointed at, of who falls silent, of what goes wrong.

import { REST } from "./picture_counts.js"
import { exactly, lasting, utc, words } from "./picture_span.js"
import { evenness } from "./picture_spread.js"
import { shown as readable, write } from "./text.js"

export class Sentences {
    constructor(section, by) {
        this.by = by
        this.status = section.querySelector("[role=status]")
        this.spread = section.querySelector(".spread")
        const line = section.querySelector(".say")
        const [number, rest, utc, state] = ["b", "span", "span", "span"].map(tag => document.createElement(tag))
        utc.className = "utc"
        state.className = "state"
        line.replaceChildren(number, " ", rest, " ", utc, " ", state)
        Object.assign(this, { number, rest, utc, state })
        this.silent = new Set
    }

    // How many replicas there are, as far as that is known.
    expect(replicas) {
        this.replicas = replicas
    }

    // What went wrong; `again`: it is tried again.
    fail(detail, again) {
        write(this.state, `${detail}. ${again ? "It is tried again." : ""}`)
        write(this.status, this.state.textContent)
        this.state.classList.add("wrong")
    }

    // Resolves when whoever looks wants a count that takes long to go on.
    goOn(signal) {
        return new Promise(resolve => {
            const button = document.createElement("button")
            button.textContent = "Count on"
            button.addEventListener("click", resolve)
            signal.addEventListener("abort", resolve)
            this.state.after(button)
        }).finally(() => this.state.nextSibling?.remove())
    }

    // Says it all, and returns the lanes with what stands beside each.
    tell(picture) {
        const { lanes, all, shown, selection, brush, now } = picture
        const from = selection ? selection[0] - shown.from : 0, to = selection ? selection[1] - shown.from : shown.size
        const sum = counts => counts.slice(from, to).reduce((sum, count) => sum + count, 0), total = sum(all)
        const told = lanes.map(lane => this.#lane(lane, sum(lane.counts), total, picture))
        this.#line(picture, total)
        this.#state(picture)
        this.#silences(told)
        const quiet = told.filter(lane => lane.loud).map(({ value }) => readable(value, 80))
        if (this.spread) write(this.spread, evenness(totals(quiet.length ? lanes : lanes.filter(one => one.silentFrom == null)), quiet))
        brush.describe(this.#aloud(told, total, picture))
        return told
    }

    #lane(lane, count, total, { shown, end, lanes }) {
        const { value, rest, silentFrom } = lane
        const isThere = lanes.length <= (this.replicas ?? Infinity) // else one of them was taken away
        const note = silentFrom == null ? "" : `silent for ${lasting(end - silentFrom)}`
        const values = rest ? [...lane.values.keys()].filter(one => one !== REST).length : 0
        return {
            ...lane, count, note, name: rest ? others(values, lane.values.has(REST)) : value,
            hue: this.by == "replica" && !rest, loud: this.by == "replica" && note && isThere,
            share: this.by ? count / Math.max(total, 1) : null,
            quietFrom: silentFrom == null ? null : silentFrom / shown.step,
        }
    }

    #line({ shown, plan, now, selection, brush }, total) {
        const { step } = shown, [from, to] = selection ?? [shown.from, shown.to]
        write(this.number, total.toLocaleString("en"))
        const what = total == 1 ? "request" : "requests"
        const last = !selection && plan.length
        const when = last ? `in the last ${exactly(last)}` : `from ${words(from * step, to * step, now)}`
        const long = to - from == 1 ? "" : `, ${lasting((to - from) * step)}`
        const how = selection ? long : `, ${exactly(step)} a bar`
        write(this.rest, `${what} ${when}${how}`)
        write(this.utc, selection ? `(${utc(from * step, to * step)} UTC)` : "")
        this.utc.hidden = !selection
    }

    #state({ reached, shown, now }) {
        if (reached == null) return write(this.state, "")
        const part = (shown.end - reached) / (shown.end - shown.begin)
        this.state.classList.remove("wrong")
        write(this.state, `Counting: ${Math.floor(100 * Math.min(Math.max(part, 0), 1))} %`)
    }

    // Says once, to who does not see it, that somebody falls silent, or is back.
    #silences(told) {
        const loud = new Set(told.filter(lane => lane.loud).map(lane => lane.value))
        const gone = [...loud].filter(one => !this.silent.has(one))
        const back = [...this.silent].filter(one => !loud.has(one))
        const spoken = (some, words) => some.map(one => `${readable(one, 80)} ${words}.`).join(" ")
        if (gone.length) write(this.status, spoken(gone, "has fallen silent"))
        else if (back.length) write(this.status, spoken(back, "is back"))
        this.silent = loud
    }

    #aloud(told, total, { shown, selection, now }) {
        const [from, to] = selection ?? [shown.from, shown.to]
        const one = ({ name, count, rest, note }) =>
            `${rest ? name : readable(name, 80)} ${count}${note && `, ${note}`}`
        const each = this.by ? told.map(one).join("; ") : ""
        return `${words(from * shown.step, to * shown.step, now)}: ${total} ${total == 1 ? "request" : "requests"}`
            + (each && `; ${each}`)
    }
}

// All replicas, those in the last lane too.
function totals(lanes) {
    return lanes.flatMap(({ value, rest, total, values }) => rest ? [...values] : [[value, total]])
        .filter(([value]) => value !== REST).map(([value, total]) => [readable(value, 80), total])
}

const others = (count, more) => more ? "all others" : count == 1 ? "1 other" : `${count} others`
