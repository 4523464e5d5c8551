// Requests over time, above the list: their counts are asked for once the page is there; what comes in live is added.

import { here, narrowed } from "./address.js"
import { both } from "./filter_text.js"
import { rows } from "./list.js"
import { Brush } from "./picture_brush.js"
import { checked, counted, Layer, REST, Tally } from "./picture_counts.js"
import { Lanes } from "./picture_lanes.js"
import { beside, fixed, zoom } from "./picture_links.js"
import { Ranking } from "./picture_ranking.js"
import { Sentences } from "./picture_sentences.js"
import { duration, named, outgrown, planned, round, steps, ticks } from "./picture_span.js"
import { store, stored } from "./storage.js"
import { timeOf } from "./text.js"

const LISTED = 50 // rows of a page, see pages/lists.py
const AHEAD_MS = 1000 // of the question: nothing that was received later can be in its answer
const TAIL_MS = 10e3
const SETTLE_MS = 3e3 // until all that was received is committed, or spooled
const RETRY_MS = 5e3
const LONG_MS = 60e3 // then a count waits to be told to go on
const DRAW_EVERY_MS = 200
const KEPT_CLOSED = "gatebook.picture.closed"
const VALUE = {
    replica: ({ replica }) => replica,
    method: ({ method }) => method,
    path: ({ target }) => target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").split(/[?#]/, 1)[0],
}

export function start() {
    const section = document.getElementById("picture")
    if (section) new Picture(section).start()
}

class Picture {
    constructor(section) {
        this.section = section
        this.details = section.querySelector("details")
        this.by = here.by || null
        const frame = section.querySelector(".frame")
        this.lanes = new Lanes(frame, this.by, value => value.length < 1000 ? narrowed(this.by, value) : null)
        this.brush = new Brush(this.lanes.brush, {
            steps: () => this.tally && this.steps, changed: () => this.soon(),
            zoom: (from, to) => zoom(from * this.plan.step, to * this.plan.step),
        })
        this.sentences = new Sentences(section, this.by)
        this.ahead = 0
    }

    start() {
        const { details } = this
        details.open = !stored(KEPT_CLOSED, false)
        details.addEventListener("toggle", () => {
            store(KEPT_CLOSED, !details.open)
            details.open ? this.begin() : this.end()
        })
        document.addEventListener("gatebook:arrived", ({ detail }) => this.arrived(detail.requests))
        document.addEventListener("gatebook:gate", ({ detail: { replicas } }) => {
            this.sentences.expect(replicas.answering + replicas.silent)
        })
        document.addEventListener("gatebook:gap", () => details.open && this.begin())
        document.addEventListener("visibilitychange", () => this.soon())
        addEventListener("pagehide", () => this.end())
        addEventListener("pageshow", event => event.persisted && details.open && this.begin())
        new ResizeObserver(() => this.soon()).observe(this.lanes.brush)
        this.section.querySelector(".spans").replaceChildren(...fixed())
        if (details.open) this.begin()
    }

    get now() {
        return Date.now() + this.ahead
    }

    get steps() {
        return steps(this.plan, this.now)
    }

    // Counts everything anew, once the browser has nothing better to do.
    begin() {
        this.end()
        const { signal } = this.working = new AbortController, idle = globalThis.requestIdleCallback ?? setTimeout
        this.lanes.frame.ariaBusy = "true"
        idle(() => this.run(signal))
    }

    end() {
        this.working?.abort()
        clearTimeout(this.ticking)
    }

    async run(signal) {
        while (!signal.aborted) {
            try {
                return await this.count(signal)
            } catch (error) {
                if (signal.aborted) return
                const words = error instanceof TypeError ? "The viewer does not answer" : error.message
                this.sentences.fail(words, error.again ?? true)
                if (error.again === false) return
                await passed(RETRY_MS, signal)
            }
        }
    }

    async count(signal) {
        const { since, until, ahead } = await checked(here.filter, signal)
        this.ahead = ahead
        const now = this.now, back = duration(here.filter, { since }, now)
        const plan = planned({ since, until }, back, oldestListed(), now)
        this.lanes.frame.ariaBusy = String(plan != null)
        if (!plan) return this.sentences.fail("The filter leaves no time in which there could be any", false)
        const { begin, moves } = steps(plan, now), bound = Math.ceil(now + AHEAD_MS)
        const from = moves ? Math.max(Math.floor((now - TAIL_MS) / plan.step), Math.floor(begin / plan.step)) : null
        const tally = new Tally({ step: plan.step, bound: moves ? bound : Infinity, from: from ?? Infinity })
        Object.assign(this, { plan, tally, ranking: new Ranking(this.by), reached: steps(plan, now).end })
        this.section.querySelector(".spans").replaceChildren(...fixed(), ...beside(this.steps, now))
        const low = plan.given ? null : begin
        if (moves) await this.ask(tally, "tail", from * plan.step, bound, signal)
        await this.ask(tally, "base", low, moves ? from * plan.step : null, signal)
        this.ranking.choose(tally, this.steps, this.now)
        this.reached = null
        this.lanes.frame.ariaBusy = "false"
        this.soon()
        if (moves) await this.settle(tally, from * plan.step, bound, signal)
    }

    // Counts what was received in the stretch into a new layer of the tally, as its parts come.
    async ask(tally, name, since, until, signal) {
        const { step } = this.plan, layer = tally[name] = new Layer(step), began = Date.now()
        tally.asked[name] = { ours: began, theirs: this.now }
        const question = { filter: within(since, until), step: named(step) }
        for await (const part of counted({ ...question, by: this.by }, signal, at => this.down(at))) {
            layer.take(part)
            if (tally == this.tally) this.ranking.choose(tally, this.steps, this.now)
            this.down(part.reached ?? since ?? this.plan.begin)
            if (part.next && Date.now() - began > LONG_MS) await this.sentences.goOn(signal)
        }
        if (!layer.others) return
        for await (const part of counted(question, signal)) layer.place(part.groups)
    }

    async settle(tally, since, until, signal) {
        await passed(SETTLE_MS, signal)
        if (signal.aborted) return
        const again = { asked: {} } // takes the tail's place when it is whole
        await this.ask(again, "tail", since, until, signal)
        tally.asked.tail = again.asked.tail
        tally.settle(again.tail)
        this.soon()
    }

    down(reached) {
        if (this.reached != null) this.reached = Math.min(this.reached, reached)
        this.soon()
    }

    arrived(requests) {
        if (!this.tally) return
        for (const request of requests) {
            const at = Date.parse(request.received_at), value = this.by ? this.ranking.known(VALUE[this.by](request).slice(0, 1000)) : null
            this.tally.arrive(value, at, Date.now())
            this.ranking.arrive(value, at)
        }
        this.later ??= setTimeout(() => this.soon(), DRAW_EVERY_MS)
    }

    // Draws before the next frame, once.
    soon() {
        if (document.hidden || !this.details.open) return
        this.frame ??= requestAnimationFrame(() => {
            clearTimeout(this.later)
            this.frame = this.later = null
            if (this.tally && this.lanes.brush.offsetWidth) this.draw()
        })
    }

    draw() {
        const shown = this.steps, { brush, plan, now } = { brush: this.brush, plan: this.plan, now: this.now }
        if (outgrown(shown)) return this.begin()
        const end = shown.moves ? now : Math.min(plan.until ?? now, now)
        const { lanes, all } = this.ranking.lanes(this.tally, shown, end), { selection } = brush
        const { reached } = this
        const told = this.sentences.tell({ lanes, all, shown, plan, now, end, selection, brush, reached })
        this.lanes.draw({
            lanes: told, steps: shown, ticks: ticks(shown, this.lanes.labels), selection, partial: partial(plan, shown),
            highest: round(Math.max(...lanes.flatMap(({ counts }) => counts), 1)),
            pending: reached == null ? null : reached / plan.step,
        })
        clearTimeout(this.ticking)
        if (shown.moves) this.ticking = setTimeout(() => this.soon(), 1000)
    }
}

// The steps that are not wholly in the span, or not over.
function partial({ begin, given, until, step, length }, { from, to, moves }) {
    const first = given && (length || begin % step) ? [from] : []
    return moves || until % step ? [...first, to - 1] : first
}

// The page's filter, from and up to these times.
function within(since, until) {
    const time = (name, at) => at == null ? [] : [`${name}:${new Date(at).toISOString()}`]
    return [...time("since", since), ...time("until", until)].reduce(both, here.filter)
}

// Of those that the page began with, whichever of them are in the document just now.
function oldestListed() {
    const oldest = rows[Math.min(rows.length, LISTED) - 1]
    return oldest ? timeOf(oldest.id) : null
}

function passed(ms, signal) {
    return new Promise(resolve => {
        setTimeout(resolve, ms)
        signal.addEventListener("abort", resolve)
    })
}
