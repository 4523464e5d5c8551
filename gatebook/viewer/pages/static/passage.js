// What the load balancer tells of a request: how often it was tried, where, and how long that took.
import { size } from "./text.js"

let asking = null

export async function tellPassage(article) {
    asking?.abort() // a new one is waited for; a browser has six connections to a host, and others need them
    asking = new AbortController()
    const place = article.querySelector("#passage")
    if (!place) return
    try {
        const answer = await fetch(place.dataset.url, { signal: asking.signal })
        if (!place.isConnected) return
        place.querySelector("dd").textContent = answer.ok ? words(await answer.json())
            : answer.status == 404 ? "the load balancer's log does not hold it (any longer)" : "cannot be told now"
    } catch {} // the link that is there stays
}

function words({ attempts, seconds, received_bytes, sent_bytes }) {
    const tries = attempts.length == 1 ? "1 try" : `${attempts.length} tries`
    const each = attempts.map(({ upstream, status }) => `${named(upstream)}: ${status ?? "no answer"}`).join(", ")
    return `${tries}${attempts.length > 1 ? ` (${each})` : ""}, ${Math.round(seconds * 1000)} ms, ${size(received_bytes)} in, ${size(sent_bytes)} out`
}

// webapp-2 of unix:/run/gatebook/webapp-2.sock; the load balancer's other names are short.
function named(upstream) {
    return upstream.replace(/^unix:(?:.*\/)?(.+?)(?:\.sock)?$/, "$1")
}
