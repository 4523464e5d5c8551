// Points at steps and selects spans of them: by mouse, by finger and by keyboard alike.
//
// Drag selects, and letting go zooms; up and down, a finger scrolls the page as ever. Arrows move, with Shift they
// select, Enter zooms, Esc lets go. To a screen reader it is a slider, whose value is said in words.

const FAR = 10 // steps of Page Up and Page Down
const LEAST_DRAG_PX = 4
const KEYS = {
    ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1,
    PageDown: -FAR, PageUp: FAR, Home: -Infinity, End: Infinity,
}

export class Brush {
    // `steps()`: those that are shown, or null; `changed()`: to be drawn again; `zoom(from, to)`: steps, to excluded.
    constructor(element, { steps, changed, zoom }) {
        Object.assign(this, { element, steps, changed, zoom, at: null, anchor: null, pointer: null, drags: false })
        element.tabIndex = 0
        element.role = "slider"
        element.ariaLabel = "Requests over time"
        element.ariaValueNow = "0"
        element.ariaValueText = "Not counted yet"
        element.setAttribute("aria-describedby", "picture-keys")
        element.addEventListener("pointermove", event => this.#move(event))
        element.addEventListener("pointerdown", event => this.#down(event))
        element.addEventListener("pointerup", event => this.#up(event))
        element.addEventListener("pointercancel", () => this.cancel())
        element.addEventListener("pointerleave", () => this.#leave())
        element.addEventListener("keydown", event => this.#key(event))
        element.addEventListener("focus", () => this.#focus())
        element.addEventListener("blur", () => this.cancel())
    }

    // What is pointed at or selected: [from, to], or null.
    get selection() {
        const steps = this.steps()
        if (!steps) return null
        if (this.pointer != null) this.at = this.#under(this.pointer, steps)
        if (this.at == null) return null
        const inside = step => Math.min(Math.max(step, steps.from), steps.to - 1)
        const at = inside(this.at), anchor = inside(this.anchor ?? at)
        return [Math.min(at, anchor), Math.max(at, anchor) + 1]
    }

    // Whether more than the one step that is pointed at is selected.
    get selects() {
        return this.anchor != null
    }

    // Tells a screen reader; `text`: what is shown of the selection.
    describe(text) {
        const { element } = this, steps = this.steps(), [from, to] = this.selection ?? [steps.to - 1, steps.to]
        const at = this.at != null && this.anchor != null && this.at < this.anchor ? from : to - 1
        element.ariaValueMin = "1"
        element.ariaValueMax = String(steps.size)
        element.ariaValueNow = String(at - steps.from + 1)
        if (element.ariaValueText != text) element.ariaValueText = text
    }

    cancel() {
        Object.assign(this, { at: null, anchor: null, pointer: null, drags: false })
        this.changed()
    }

    #under(x, { from, size }) {
        const { left, width } = this.element.getBoundingClientRect()
        return from + Math.min(Math.max(Math.floor((x - left) / width * size), 0), size - 1)
    }

    #move(event) {
        const steps = this.steps()
        if (!steps || event.pointerType == "touch" && !this.drags) return
        this.pointer = event.clientX
        const far = this.drags && Math.abs(event.clientX - this.began) >= LEAST_DRAG_PX
        if (far) this.anchor ??= this.#under(this.began, steps)
        this.changed()
    }

    #down(event) {
        if (event.button || !this.steps()) return
        Object.assign(this, { began: event.clientX, pointer: event.clientX, anchor: null, drags: true })
        this.element.setPointerCapture(event.pointerId)
        this.changed()
    }

    #up() {
        const { selection, anchor, drags } = this
        this.drags = false
        if (drags && anchor != null) this.zoom(...selection)
    }

    #leave() {
        if (this.drags) return
        this.pointer = null
        if (!this.element.matches(":focus-visible")) this.cancel()
    }

    #focus() {
        const steps = this.steps()
        if (this.at == null && steps && this.element.matches(":focus-visible")) this.at = steps.to - 1
        this.changed()
    }

    #key(event) {
        const steps = this.steps(), by = KEYS[event.key]
        if (!steps || event.ctrlKey || event.altKey || event.metaKey) return
        if (event.key == "Escape" && (this.selects || this.drags)) {
            Object.assign(this, { anchor: null, drags: false, pointer: null })
        } else if (event.key == "Enter" && this.selection) {
            this.zoom(...this.selection)
        } else if (by) {
            const at = this.at ?? steps.to
            if (event.shiftKey) this.anchor ??= at
            else this.anchor = null
            this.pointer = null
            this.at = Math.min(Math.max(at + by, steps.from), steps.to - 1)
        } else return
        event.preventDefault()
        event.stopPropagation()
        this.changed()
    }
}
