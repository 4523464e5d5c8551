// How requests are spread: which of several falls silent while the others go on, and how even the rest is. Pure.

const BY_CHANCE = 1e-5 // what is less likely than that is told as silence
const LEAST_SILENCE_MS = 3e3
const EVEN = .1 // of its share, that one may be above or below it
const FEW = 20 // requests for each; of fewer, nothing can be said

// Whether somebody who took `share` of the requests has taken none of the last `missed`, beyond what chance explains.
export function silent(share, missed, forMs) {
    return forMs >= LEAST_SILENCE_MS && (1 - share) ** missed < BY_CHANCE
}

// One sentence on how evenly the load balancer spreads; `totals`: [[replica, requests], ...], `quiet`: who is silent.
export function evenness(totals, quiet) {
    const all = totals.reduce((sum, [, count]) => sum + count, 0), even = 1 / totals.length
    if (!all) return ""
    if (totals.length == 1) return `All of them went to ${totals[0][0]}.`
    if (quiet.length) return `None of what comes in now goes to ${quiet.join(" or ")}.`
    if (all < FEW * totals.length) return `Too few to tell how evenly ${totals.length} replicas share them.`
    const sorted = [...totals].sort(([, a], [, b]) => a - b), least = sorted[0], most = sorted.at(-1)
    const share = count => `${(100 * count / all).toFixed(1)} %`
    const beside = Math.max(most[1] / all - even, even - least[1] / all)
    const chance = 3 * Math.sqrt(even * (1 - even) / all)
    const [a, b] = [share(least[1]), share(most[1])], each = a == b ? a : `${a.slice(0, -2)} to ${b}`
    if (beside <= EVEN * even) return `Spread evenly: each of ${totals.length} replicas took ${each}.`
    if (beside <= chance) return `Each of ${totals.length} replicas took ${each}; of so few, chance may explain that.`
    return `Spread unevenly: ${most[0]} took ${share(most[1])}, ${least[0]} ${share(least[1])}; `
        + `even would be ${(100 * even).toFixed(1)} % each.`
}
