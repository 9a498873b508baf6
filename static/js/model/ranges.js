/** Leaf ranges [low, high): how commands and events name sets of leaves. */

/**
 * Sort ranges and join those that touch or overlap.
 * @param {number[][]} ranges
 */
export function mergeRanges(ranges) {
    const merged = [];
    for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
        const last = merged[merged.length - 1];
        if (last && low <= last[1]) last[1] = Math.max(last[1], high);
        else merged.push([low, high]);
    }
    return merged;
}

/**
 * Write [low, high, class] triples into a copy of a class table.
 * @param {Uint8Array} table class of each leaf, 0 = none
 */
export function withChanges(table, changes) {
    const changed = table.slice();
    for (const [low, high, classNumber] of changes) changed.fill(classNumber, low, high);
    return changed;
}

/** The one value that `table` holds over [low, high), or null where it holds several. */
export function valueOver(table, low, high) {
    const first = table[low];
    for (let leaf = low + 1; leaf < high; leaf++) if (table[leaf] !== first) return null;
    return first;
}
