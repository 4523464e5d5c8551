// Runs before anything is drawn, so that nothing flashes: whether there are scripts, and which theme was chosen here.
// The choice stays in this browser: a cookie would be in every record of what it sends.
{
    const root = document.documentElement, themes = ["auto", "light", "dark"]
    const set = theme => {
        if (theme == "auto") delete root.dataset.theme
        else root.dataset.theme = theme
    }
    let chosen = "auto"
    try {
        chosen = localStorage.getItem("gatebook-theme") ?? "auto"
    } catch {} // no storage here: it is auto then
    if (!themes.includes(chosen)) chosen = "auto"
    root.classList.add("scripts")
    set(chosen)
    addEventListener("DOMContentLoaded", () => {
        const button = document.querySelector("#theme")
        if (!button) return
        const tell = () => button.textContent = `Theme: ${chosen}`
        button.onclick = () => {
            chosen = themes[(themes.indexOf(chosen) + 1) % themes.length]
            set(chosen)
            tell()
            try {
                localStorage.setItem("gatebook-theme", chosen)
            } catch {}
        }
        tell()
    })
}
