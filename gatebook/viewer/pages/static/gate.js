// The gate's line: the replicas, the spool, the database and the last audit, asked for every five seconds while
// somebody looks. What has not changed is not touched: a selection stays, and a screen reader hears only what is new.
import { ago, clock, size } from "./text.js"

const EVERY_MS = 5000, AGAIN_MS = 1000, PATIENCE_MS = 10000
const at = id => document.getElementById("gate-" + id)
let timer, asking, auditing, failures = 0, seen

export function start() {
    if (!at("facts")) return
    at("ask").addEventListener("click", () => auditing ? auditing.abort() : audit())
    document.addEventListener("visibilitychange", look)
    look()
}

async function look() {
    clearTimeout(timer)
    if (document.hidden || asking) return
    asking = true
    try {
        show(await asked())
        failures = 0
    } catch (error) {
        if (++failures > 1) away(error) // the viewer may just be restarted
    } finally {
        asking = false
        timer = setTimeout(look, failures == 1 ? AGAIN_MS : EVERY_MS)
    }
}

async function asked() {
    const answer = await fetch("/_/api/gate", { signal: AbortSignal.timeout(PATIENCE_MS) })
    if (!answer.ok) throw new Error("The viewer does not answer. Requests are recorded all the same")
    return answer.json()
}

function show(state) {
    seen = Date.parse(state.checked_at)
    write(at("wrong"), state.words)
    at("facts").replaceChildren(...facts(state).map((fact, place) => item(at("facts").children[place], ...fact)))
}

function away(error) {
    const what = error.name == "TimeoutError" ? "The viewer does not answer"
        : error instanceof TypeError ? "Nothing answers here: the gate is stopped, or it cannot be reached"
        : error.message
    write(at("wrong"), what + (seen ? `. What is shown below is from ${clock(seen)}.` : "."))
}

// Each as its words, whether they say that something is wrong, and what there is to say beyond them.
function facts({ replicas, spool, database, last_audit: audit, oldest }) {
    const all = replicas.answering + replicas.silent
    return [
        [`${replicas.answering} of ${all} replica${all == 1 ? "" : "s"}`, replicas.silent > 0],
        [waiting(spool), spool?.rows > 0],
        [database ? "Database answers" : "Database away", !database],
        [audited(audit), audit && !audit.proven, audit?.sentence],
        [oldest ? `Kept since ${day(oldest)}` : "", false, oldest],
    ]
}

function waiting(spool) {
    if (!spool) return "Spool not visible from here"
    return spool.rows ? `Spool ${spool.rows.toLocaleString("en")}, ${size(spool.bytes)}` : "Spool empty"
}

function audited(audit) {
    if (!audit) return "Not audited yet"
    const { missing, twice } = audit.counts
    const found = [missing && `${missing.toLocaleString("en")} missing`, twice && `${twice.toLocaleString("en")} twice`]
    return `Audited ${ago(Date.parse(audit.finished_at))}, ${found.filter(Boolean).join(", ") || "nothing missing"}`
}

function day(time) {
    return new Date(time).toLocaleDateString("en-CA") // its parts in the order of ISO 8601
}

function item(before, words, wrong, more) {
    const one = before ?? document.createElement("li")
    write(one, words)
    one.className = wrong ? "wrong" : ""
    one.hidden = !words
    if (more) one.title = more
    else one.removeAttribute("title")
    return one
}

function write(one, words) {
    if (one.textContent != words) one.textContent = words
}

async function audit() {
    auditing = new AbortController()
    at("ask").textContent = "Stop the audit"
    progress({ progress: 0, lines: 0 })
    found("", false)
    try {
        await told(auditing.signal)
    } catch (error) {
        if (error.name != "AbortError") found(error.message, true)
    } finally {
        auditing = undefined
        at("ask").textContent = "Audit now"
        at("done").hidden = true
        write(at("read"), "")
        clearTimeout(timer)
        timer = setTimeout(look, AGAIN_MS) // the state is remembered for a second
    }
}

// By lines: how far it is, and at the end what it found.
async function told(signal) {
    const answer = await fetch("/_/api/audit", { signal, headers: { accept: "application/x-ndjson" } })
    if (!answer.ok) throw failure(await answer.json().catch(() => ({})))
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    for (let rest = ""; ;) {
        const { value, done } = await reader.read()
        if (done) throw new Error("The audit broke off.")
        const lines = (rest + value).split("\n")
        rest = lines.pop()
        for (const { error, audit, ...so_far } of lines.map(line => JSON.parse(line))) {
            if (error) throw failure(error)
            if (audit) return found(audit.sentence, !audit.proven)
            progress(so_far)
        }
    }
}

// Of a problem document, or of anything else that came in place of one.
function failure({ title, detail = title ?? "the viewer does not answer", hint }) {
    return new Error(`The audit could not be made: ${detail}${hint ? `; ${hint}` : ""}.`)
}

function progress({ progress, lines }) {
    at("done").hidden = false
    at("done").value = progress
    write(at("read"), `${Math.round(100 * progress)} %, ${lines.toLocaleString("en")} lines`)
}

function found(sentence, wrong) {
    at("found").className = wrong ? "wrong" : ""
    write(at("found"), sentence)
}
