// Which values have a lane of their own, in which order, and since when each has been silent.

import { REST } from "./picture_counts.js"
import { silent } from "./picture_spread.js"

const LANES = 8
const KNOWN = 1000 // values that are told apart while they come in; each is looked at in each picture

export class Ranking {
    constructor(by) {
        Object.assign(this, { by, values: by ? [] : [null], last: new Map, missed: new Map, seen: new Set })
    }

    // Chooses the most frequent values; replicas stand in the order of their names, since they are alike.
    choose(tally, { from, to, step }, now) {
        if (!this.by) return
        const totals = new Map, ends = new Map
        tally.each(from, to, (at, value, count) => {
            if (value === REST) return
            totals.set(value, (totals.get(value) ?? 0) + count)
            ends.set(value, Math.max(ends.get(value) ?? 0, at + 1))
        })
        const frequent = [...totals].sort(([, a], [, b]) => b - a).slice(0, LANES)
        this.values = frequent.map(([value]) => value)
        if (this.by == "replica") this.values.sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
        this.missed = new Map(this.values.map(value => [value, 0]))
        this.last = new Map(this.values.map(value => [value, Math.min(ends.get(value) * step, now)]))
        tally.each(from, to, (at, other, count) => {
            for (const value of this.values) {
                if (value !== other && at >= ends.get(value)) this.missed.set(value, this.missed.get(value) + count)
            }
        })
    }

    // The value as it is counted: one more than can be told apart is one of the others.
    known(value) {
        if (!this.seen.has(value) && !this.last.has(value) && this.seen.size >= KNOWN) return REST
        this.seen.add(value)
        return value
    }

    // One came in live: a new value gets a lane while there is room.
    arrive(value, at) {
        if (!this.by) return
        if (!this.last.has(value) && this.values.length < LANES) this.values.push(value)
        for (const one of this.values) if (one !== value) this.missed.set(one, (this.missed.get(one) ?? 0) + 1)
        if (at > (this.last.get(value) ?? 0) && this.values.includes(value)) {
            this.last.set(value, at)
            this.missed.set(value, 0)
        }
    }

    // The lanes of these steps: [{value, rest, counts, total, silentFrom}], and all counts in one.
    lanes(tally, { from, to, size }, end) {
        const all = Array(size).fill(0), place = new Map(this.values.map((value, n) => [value, n]))
        const lanes = this.values.map(value => ({ value, counts: Array(size).fill(0), total: 0 }))
        const rest = { value: REST, rest: true, counts: Array(size).fill(0), total: 0, values: new Map }
        tally.each(from, to, (step, value, count) => {
            const lane = lanes[place.get(value)] ?? rest
            lane.counts[step - from] += count
            lane.total += count
            all[step - from] += count
            if (lane === rest) rest.values.set(value, (rest.values.get(value) ?? 0) + count)
        })
        const total = all.reduce((sum, count) => sum + count, 0)
        if (this.by) for (const lane of lanes) lane.silentFrom = this.#silentFrom(lane, total, end)
        if (rest.total) lanes.push(rest)
        return { lanes, all, total }
    }

    #silentFrom({ value, total }, all, end) {
        const missed = this.missed.get(value) ?? 0, last = this.last.get(value) ?? end
        return total && silent(total / Math.max(all - missed, total), missed, end - last) ? last : null
    }
}
