// What the load balancer tells of a request: how often it was tried, where, and how long that took.
import { size } from "./text.js"

export async function tellPassage(article) {
    const place = article.querySelector("#passage")
    if (!place) return
    try {
        const answer = await fetch(place.dataset.url)
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
