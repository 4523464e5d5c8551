// Answers that take a while and tell meanwhile how far they are: a JSON document a line (viewer/api/told.py).

// The answer under `name`; calls progress() with what is told before that. Throws what went wrong, in words.
export async function told(url, name, { signal, progress = () => {} } = {}) {
    const answer = await fetch(url, { signal, headers: { Accept: "application/x-ndjson" } })
    if (!answer.ok) throw new Error(await whatIsWrong(answer))
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ""
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const lines = (rest + part.value).split("\n")
        rest = lines.pop()
        for (const line of lines) {
            const found = JSON.parse(line)
            if (found.error) throw new Error(words(found.error))
            if (found[name]) return found[name]
            progress(found)
        }
    }
    throw new Error("the answer broke off")
}

// What a problem document says, and what to try.
export async function whatIsWrong(answer) {
    return words(await answer.json().catch(() => ({ detail: `the viewer answers ${answer.status}` })))
}

function words({ detail, hint }) {
    return hint ? `${detail} (${hint})` : detail
}
