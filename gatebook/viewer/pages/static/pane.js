// The request that is open beside the list. It is the server's own HTML, put in place without loading the page anew, so
// the list stays where it is; its address is in the address bar, and the back button closes it.
import { here, toList, toRequest } from "./address.js"
import { beside, choose, currentId } from "./list.js"
import { say } from "./text.js"
import { tellTimes } from "./times.js"
import { tellPassage } from "./passage.js"
import { whatIsWrong } from "./told.js"

const SETTLED_MS = 80 // of keys held down, only where they come to rest is fetched
const html = self.trustedTypes?.createPolicy("gatebook", { createHTML: text => text }) ?? { createHTML: text => text }

let desk, asked = null, settling, listTitle

export function start() {
    desk = document.querySelector("#desk")
    if (!desk) return
    listTitle = opened() ? (here.filter && `${here.filter} · `) + "Gatebook" : document.title
    if (opened()) dress(opened())
    desk.addEventListener("click", clicked)
    // The list keeps its place by itself; the browser does that only when the whole page is left.
    history.scrollRestoration = "manual"
    addEventListener("pagehide", () => history.scrollRestoration = "auto")
    addEventListener("pageshow", () => history.scrollRestoration = "manual")
    addEventListener("popstate", () => {
        const id = idOf(location)
        if (id) open(location.href, { remember: "no" })
        else close({ remember: false })
    })
}

export function opened() {
    return document.querySelector("#request")
}

// Goes `step` rows on, and opens what is there if one is open.
export function move(step) {
    const id = beside(step)
    if (!id) return
    choose(id, { focus: true })
    clearTimeout(settling)
    if (!opened()) return
    settling = setTimeout(() => open(toRequest(id, { filter: here.filter }), { remember: "instead" }), SETTLED_MS)
}

// Shows the request that this address names. `remember`: "new" address, "instead" of the one now, or "no" change.
export async function open(url, { remember = "new", focus = false } = {}) {
    asked?.abort()
    const { signal } = asked = new AbortController()
    const id = idOf(new URL(url, location))
    choose(id)
    try {
        const answer = await fetch(url + (url.includes("?") ? "&" : "?") + "bare=1", { signal })
        const article = answer.ok ? parsed(await answer.text()) : failed(await whatIsWrong(answer))
        if (signal.aborted) return
        show(article, id)
        if (remember == "new") history.pushState(null, "", url)
        if (remember == "instead") history.replaceState(null, "", url)
        if (focus || isCovered()) article.focus({ preventScroll: isCovered() })
        if (isCovered()) article.scrollIntoView()
    } catch (error) {
        if (!signal.aborted) show(failed(`the viewer does not answer: ${error.message}`), id)
    }
}

export function close({ remember = true } = {}) {
    asked?.abort()
    clearTimeout(settling)
    if (!opened()) return
    opened().remove()
    desk.classList.remove("shared")
    document.title = listTitle
    if (remember) history.pushState(null, "", toList({ filter: here.filter, by: here.by }))
    choose(currentId(), { focus: true })
    document.dispatchEvent(new CustomEvent("gatebook:closed"))
}

// Where it is narrow, the request covers the list.
function isCovered() {
    return !desk.firstElementChild.checkVisibility()
}

function clicked(event) {
    const link = event.target.closest("a")
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
    const article = link.closest("#request"), id = idOf(link)
    const go = article ? inside(link, article, id) : id && !here.compare && (() => open(link.href, { focus: true }))
    if (!go) return
    event.preventDefault()
    go()
}

// What a link within the open request does; nothing: what links do.
function inside(link, article, id) {
    if (link.id == "close") return close
    if (link.rel == "prev" || link.rel == "next") {
        const step = link.rel == "next" ? 1 : -1, there = beside(step)
        return currentId() == article.dataset.id && there != currentId() ? () => move(step) : null
    }
    if (id == article.dataset.id && link.id != "permalink") return () => open(link.href)
    return null
}

function show(article, id) {
    const scrolled = opened()?.dataset.id == id ? opened().scrollTop : 0
    opened()?.remove()
    desk.append(article)
    article.scrollTop = scrolled
    dress(article)
    document.title = article.dataset.title ?? listTitle
    say(article.querySelector("h2").textContent)
}

function dress(article) {
    tellTimes(article)
    tellPassage(article)
}

function parsed(text) {
    const page = new DOMParser().parseFromString(html.createHTML(text), "text/html")
    return document.importNode(page.querySelector("#request"), true)
}

function failed(why) {
    const [article, heading, link] = ["article", "h2", "a"].map(name => document.createElement(name))
    article.id = "request"
    article.tabIndex = 0
    heading.className = "wrong"
    heading.textContent = `It cannot be shown: ${why}`
    link.id = "close"
    link.href = toList({ filter: here.filter })
    link.textContent = "Close"
    article.append(heading, link)
    return article
}

// The id in the address of a request's page.
function idOf({ pathname }) {
    return /^\/_\/requests\/([0-9a-f-]{36})$/.exec(pathname)?.[1]
}
