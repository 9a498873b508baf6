/** Areas and pixel counts of leaves, clusters and classes. */

const HEADER_BYTES = 16;

/**
 * @param {ArrayBuffer} buffer as docs/protocol.md lays it out
 * @returns {{complete: boolean, pixels: Float64Array, areaM2: Float64Array | null}} areaM2 is null without a CRS
 */
export function parseStatistics(buffer) {
    const words = new Uint32Array(buffer, 0, Math.min(4, buffer.byteLength >> 2));
    const nLeaves = words[0];
    if (buffer.byteLength !== HEADER_BYTES + 16 * nLeaves) {
        throw new Error(`Statistics of ${nLeaves} leaves cannot have ${buffer.byteLength} bytes.`);
    }
    const pixels = new Float64Array(buffer, HEADER_BYTES, nLeaves);
    const areaM2 = new Float64Array(buffer, HEADER_BYTES + 8 * nLeaves, nLeaves);
    return { complete: words[1] === 1, pixels, areaM2: areaM2.some(Number.isNaN) ? null : areaM2 };
}

/** Running sums, one longer than `values`: a range's total is two lookups. */
export function prefixSums(values) {
    const sums = new Float64Array(values.length + 1);
    for (let i = 0; i < values.length; i++) sums[i + 1] = sums[i] + values[i];
    return sums;
}

/** Statistics with the running sums of their `values`: m² where they are known, else pixels. */
export function withSums(statistics) {
    const values = statistics.areaM2 ?? statistics.pixels;
    return { ...statistics, values, inArea: statistics.areaM2 !== null, valueSums: prefixSums(values) };
}

/** Total of leaves [low, high). */
export function rangeTotal(sums, low, high) {
    return sums[high] - sums[low];
}

/**
 * Totals of `values` by class; leaves whose class is not in `palette` (deleted) count as unlabelled (0).
 * @returns {Map<number, number>}
 */
export function totalsByClass(values, table, palette) {
    const totals = new Float64Array(256);
    for (let leaf = 0; leaf < values.length; leaf++) {
        const classNumber = table ? table[leaf] : 0;
        totals[palette.has(classNumber) ? classNumber : 0] += values[leaf];
    }
    const byClass = new Map([[0, totals[0]]]);
    for (const number of palette.keys()) byClass.set(number, totals[number]);
    return byClass;
}

/**
 * Area and share of every class, number 0 standing for "unlabelled".
 * @param {{values: Float64Array, valueSums: Float64Array, inArea: boolean}} statistics
 * @param {Uint8Array} shown class that each leaf shows, predicted or not
 * @param {Uint8Array} assigned class that somebody gave each leaf
 * @param {{left: Float64Array, byClass: Float64Array}} [drawn] what is left of each leaf beside what was drawn by hand, and that
 * @returns {Map<number, {value: number, predicted: number, inArea: boolean, share: number}>} `predicted`: what of `value`
 *     nobody gave this class
 */
export function extentsByClass({ values, valueSums, inArea }, shown, assigned, palette, drawn = null) {
    const left = drawn?.left ?? values;
    const totals = totalsByClass(left, shown, palette);
    const sum = valueSums[values.length];
    const given = shown === assigned ? totals : totalsByClass(left, assigned, palette);
    if (drawn) {
        for (const byClass of new Set([totals, given])) {
            for (const number of palette.keys()) byClass.set(number, byClass.get(number) + drawn.byClass[number]);
        }
    }
    return new Map(
        [...totals].map(([number, value]) => {
            const predicted = number ? Math.max(0, value - given.get(number)) : 0;
            return [number, { value, predicted, inArea, share: sum ? value / sum : NaN }];
        }),
    );
}

const THREE_DIGITS = { maximumSignificantDigits: 3 };

/** "12.3 ha", with m² below a hundredth of a hectare and km² from 100,000 ha. */
export function formatArea(areaM2) {
    const hectares = areaM2 / 1e4;
    if (areaM2 > 0 && hectares < 0.01) return `${areaM2.toLocaleString("en", THREE_DIGITS)} m²`;
    if (hectares >= 1e5) return `${Math.round(hectares / 100).toLocaleString("en")} km²`;
    if (hectares >= 1000) return `${Math.round(hectares).toLocaleString("en")} ha`;
    return `${hectares.toLocaleString("en", THREE_DIGITS)} ha`;
}

export function formatPixels(pixels) {
    return `${Math.round(pixels).toLocaleString("en")} px`;
}

/** "12.3%"; what is there yet rounds to nothing reads "<0.1%". */
export function formatShare(share) {
    if (!Number.isFinite(share)) return "–";
    if (share > 0 && share < 0.001) return "<0.1%";
    return `${(share * 100).toFixed(1)}%`;
}
