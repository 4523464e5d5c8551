// The request that is open beside the list. It is the server's own HTML, put in place without loading the page anew, so
// the list stays where it is; its address is in the address bar, and the back button closes it.
import { here, toList, toRequest } from "./address.js"
import { beside, choose, currentId } from "./list.js"
import { say } from "./text.js"
import { tellTimes } from "./times.js"
import { tellPassage } from "./passage.js"
import { whatIsWrong } from "./told.js"

const SETTLED_MS = 150 // of keys held down, only where they come to rest is fetched
const html = self.trustedTypes?.createPolicy("gatebook", { createHTML: text => text }) ?? { createHTML: text => text }

let desk, asked = null, settling, listTitle

export function start() {
    desk = document.querySelector("#desk")
    if (!desk) return
    listTitle = opened() ? (here.filter && `${here.filter} · `) + "Gatebook" : document.title
    if (opened()) dress(opened())
    desk.addEventListener("click", clicked)
    desk.addEventListener("submit", revealed)
    // The list keeps its place by itself; the browser does that only when the whole page is left.
    history.scrollRestoration = "manual"
    addEventListener("pagehide", () => history.scrollRestoration = "auto")
    addEventListener("pageshow", () => history.scrollRestoration = "manual")
    addEventListener("popstate", () => {
        const id = idOf(location), url = location.pathname + location.search
        if (!id) close({ remember: false })
        else if (opened()?.dataset.url != url) open(url, { remember: "no" })
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
    const view = new URLSearchParams(location.search).get("view"), url = toRequest(id, { filter: here.filter, view })
    settling = setTimeout(() => open(url, { remember: "instead" }), SETTLED_MS)
}

// Shows the request that this address names. `remember`: "new" address, "instead" of the one now, or "no" change.
export async function open(url, { remember = "new", focus = false } = {}) {
    asked?.abort()
    clearTimeout(settling)
    const { signal } = asked = new AbortController(), id = idOf(new URL(url, location))
    choose(id)
    const article = await fetched(url, signal)
    if (signal.aborted) return
    const isAnother = opened()?.dataset.id != id
    if (remember == "new") history.pushState(null, "", url)
    if (remember == "instead") history.replaceState(null, "", url)
    article.dataset.url = url
    show(article)
    if (focus || isCovered() && isAnother) article.focus({ preventScroll: isCovered() })
    if (isCovered() && isAnother) article.scrollIntoView()
}

async function fetched(url, signal) {
    try {
        const answer = await fetch(url + (url.includes("?") ? "&" : "?") + "bare=1", { signal })
        return answer.ok ? parsed(await answer.text()) : failed(url, await whatIsWrong(answer))
    } catch (error) {
        return failed(url, `the viewer does not answer (${error.message})`)
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

// A row leads where its target does; text in it can be selected all the same.
function clicked(event) {
    const row = getSelection().isCollapsed ? event.target.closest("#rows tbody tr") : null
    const link = event.target.closest("a") ?? row?.querySelector(".target a")
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
    const article = link.closest("#request"), id = idOf(link)
    let go = article && inside(link, article, id)
    if (!article && id && !here.compare) go = () => open(link.pathname + link.search, { focus: true })
    if (!go && !link.contains(event.target)) go = () => location.assign(link.href)
    if (!go) return
    event.preventDefault()
    go()
}

// What was masked is shown in place, too.
function revealed(event) {
    const form = event.target.closest(".reveal")
    if (!form) return
    event.preventDefault()
    open(`${new URL(form.action).pathname}?${new URLSearchParams(new FormData(form))}`)
}

// What a link within the open request does; nothing: what links do.
function inside(link, article, id) {
    if (link.id == "close") return close
    if (link.rel == "prev" || link.rel == "next") {
        const step = link.rel == "next" ? 1 : -1, there = beside(step)
        return currentId() == article.dataset.id && there != currentId() ? () => move(step) : null
    }
    if (id == article.dataset.id && link.id != "permalink" && !link.hash) return () => open(link.pathname + link.search)
    return null
}

// In place of the one before, at the same place and opened alike: whoever steps on looks at the same of the next one.
function show(article) {
    const before = opened(), scrolled = before?.scrollTop ?? 0, hadFocus = before?.contains(document.activeElement)
    for (const { id } of before?.querySelectorAll(".snippet[open]") ?? [])
        article.querySelector(`#${id}`)?.setAttribute("open", "")
    before?.remove()
    desk.append(article)
    article.scrollTop = scrolled
    if (hadFocus) (article.querySelector(".view[aria-current]") ?? article).focus({ preventScroll: true })
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

function failed(url, why) {
    const [article, heading, again, close] = ["article", "h2", "a", "a"].map(name => document.createElement(name))
    article.id = "request"
    article.className = "problem"
    article.tabIndex = 0
    heading.className = "wrong"
    heading.textContent = `It cannot be shown: ${why}`
    again.href = url
    again.textContent = "Try again"
    close.id = "close"
    close.href = toList({ filter: here.filter })
    close.textContent = "Close"
    article.append(heading, again, " ", close)
    return article
}

// The id in the address of a request's page.
function idOf({ pathname }) {
    return /^\/_\/requests\/([0-9a-f-]{36})$/.exec(pathname)?.[1]
}
