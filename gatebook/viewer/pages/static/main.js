// Starts the parts of the page; each finds what it is for, and does nothing where that is missing.
import * as copy from "./copy.js"
import * as filterBox from "./filter_box.js"
import * as gate from "./gate.js"
import * as keys from "./keys.js"
import * as list from "./list.js"
import * as live from "./live.js"
import * as older from "./older.js"
import * as pane from "./pane.js"
import * as picture from "./picture.js"
import * as times from "./times.js"

// One that fails takes none of the others with it.
for (const part of [times, list, older, pane, live, filterBox, gate, picture, copy, keys])
    try {
        part.start()
    } catch (error) {
        reportError(error)
    }
