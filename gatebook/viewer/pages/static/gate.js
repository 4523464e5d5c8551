// The gate's line: the replicas, the spool, the database and the last audit, asked for every five seconds while
// somebody looks. What has not changed is not touched: a selection stays, and a screen reader hears only what is new.
import { api } from "./address.js"
import { ago, clock, day, size, write } from "./text.js"
import { told } from "./told.js"

const EVERY_MS = 5000, PATIENCE_MS = 10000
const AGAIN_MS = 2000 // a part that is restarted is back by then, and nobody need be told
const at = id => document.getElementById("gate-" + id)
let timer, asking, auditing, seen
let failures = 0, warnings = 0 // in a row

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
        if (++failures > 1) away(error)
    }
    asking = false
    timer = setTimeout(look, failures == 1 || warnings == 1 ? AGAIN_MS : EVERY_MS)
}

async function asked() {
    const answer = await fetch(api("gate"), { signal: AbortSignal.timeout(PATIENCE_MS) })
    if (answer.status == 401) throw new Error("You are not signed in any more. Reload this page to sign in again")
    if (!answer.ok) throw new Error("The viewer does not answer. Requests are recorded all the same")
    return answer.json()
}

function show(state) {
    seen = Date.parse(state.checked_at)
    warnings = state.status == "warning" ? warnings + 1 : 0
    write(at("wrong"), warnings == 1 ? "" : state.words)
    document.dispatchEvent(new CustomEvent("gatebook:gate", { detail: state }))
    facts(state).forEach((fact, place) => tell(at("facts").children[place] ?? added(), ...fact))
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
        [oldest ? `Kept since ${day(Date.parse(oldest))}` : "", false, oldest ?? ""],
    ]
}

function waiting(spool) {
    if (!spool) return "Spool not visible from here"
    return spool.rows ? `${spool.rows.toLocaleString("en")} in the spool, ${size(spool.bytes)}` : "Spool empty"
}

function audited(audit) {
    if (!audit) return "Not audited yet"
    const { missing, twice } = audit.counts
    const found = [missing && `${missing.toLocaleString("en")} missing`, twice && `${twice.toLocaleString("en")} twice`]
    return `Audited ${ago(Date.parse(audit.finished_at))} ago, ${found.filter(Boolean).join(", ") || "nothing missing"}`
}

function added() {
    return at("facts").appendChild(document.createElement("li"))
}

function tell(one, words, wrong, more = "") {
    write(one, words)
    one.className = wrong ? "wrong" : ""
    one.hidden = !words
    one.title = more
}

// The page is told how far it is, and at the end what was found.
async function audit() {
    auditing = new AbortController()
    at("ask").textContent = "Stop the audit"
    tell(at("facts").children[3] ?? added(), "Auditing")
    found("")
    progress({ progress: 0, lines: 0 })
    try {
        const { sentence, proven } = await told(api("audit"), "audit", { signal: auditing.signal, progress })
        found(sentence, !proven)
    } catch (error) {
        if (error.name != "AbortError") found(`The audit was not made: ${error.message}.`, true)
    }
    auditing = undefined
    at("ask").textContent = "Audit now"
    at("done").hidden = true
    write(at("read"), "")
    clearTimeout(timer)
    timer = setTimeout(look, AGAIN_MS) // the viewer remembers for a second what it told
}

function progress({ progress, lines }) {
    at("done").hidden = false
    at("done").value = progress
    write(at("read"), `${Math.round(100 * progress)} %, ${lines.toLocaleString("en")} lines`)
}

function found(sentence, wrong = false) {
    at("found").className = wrong ? "wrong" : ""
    write(at("found"), sentence)
}
