/**
 * The completed map: what the decoder says of each leaf (its table comes as a binary frame), and which class a leaf
 * shows. Rule, in order: the class that somebody gave it; the decoder's, if the map is completed and its certainty
 * reaches the threshold; none. segmentation/completion.py holds the same rule for the download; a test holds the two together.
 */
import { inflate } from "./blocks.js";
import { extendTable } from "./splits.js";

const MAGIC = 0x54444e43; // "CNDT", little endian
const HEADER_BYTES = 32;
const TEXELS = 65536; // of a lookup texture: one a leaf
export const CERTAIN = 255; // certainty is held in 0..255 for 0..1

export const DEFAULT_COMPLETION = Object.freeze({ on: false, threshold: 0.5 });

/** What the second channel of the certainty texture says of a leaf; gl/shaders.js knows the same numbers. */
export const SOURCE = Object.freeze({ none: 0, assigned: 1, predicted: 2, unsure: 3 });

/** Whether a binary frame is the decoder's table, not a leaf block. */
export function isPrediction(buffer) {
    return buffer.byteLength >= 4 && new DataView(buffer).getUint32(0, true) === MAGIC;
}

/**
 * Read one frame as docs/protocol.md lays it out.
 * @param {ArrayBuffer} buffer
 * @returns {Promise<{segmentation: number, version: number, number: number, nLeaves: number, elapsedMs: number,
 *     classes: Uint8Array, certainty: Uint8Array}>} one class (0 = no prediction) and one certainty (0..255) a leaf
 */
export async function readPrediction(buffer) {
    if (buffer.byteLength < HEADER_BYTES) {
        throw new Error(`A decoder's table of ${buffer.byteLength} bytes is too short for its header.`);
    }
    const view = new DataView(buffer);
    if (view.getUint32(0, true) !== MAGIC) throw new Error("A decoder's table does not begin with CNDT.");
    const format = view.getUint8(4);
    if (format !== 1) throw new Error(`Decoder table format ${format} is newer than this page; reload it.`);
    const [segmentation, version, number, nLeaves, elapsedMs, payloadBytes] = [8, 12, 16, 20, 24, 28].map((at) =>
        view.getUint32(at, true),
    );
    if (buffer.byteLength !== HEADER_BYTES + payloadBytes) {
        throw new Error(`A decoder's table should have ${HEADER_BYTES + payloadBytes} bytes and has ${buffer.byteLength}.`);
    }
    const values = new Uint8Array(await inflate(new Uint8Array(buffer, HEADER_BYTES), "gzip"));
    if (values.length !== 2 * nLeaves) {
        throw new Error(`A decoder's table of ${nLeaves} leaves holds ${values.length} bytes, not ${2 * nLeaves}.`);
    }
    return {
        segmentation,
        version,
        number,
        nLeaves,
        elapsedMs,
        classes: values.subarray(0, nLeaves),
        certainty: values.subarray(nLeaves),
    };
}

/**
 * A prediction as it goes with the leaves that are shown. One from before leaves were split serves until the next comes,
 * children being as their parent was: the map would go blank for a moment at each split.
 * @param {object} prediction
 * @param {{id: number, version: number} | null} segmentation
 * @param {Uint8Array | null} table class of each leaf
 * @returns {object | null} null where it is of other leaves
 */
export function fitted(prediction, segmentation, table, splits) {
    const [version, length] = [segmentation?.version ?? 0, table?.length ?? 0];
    if (prediction.segmentation !== segmentation?.id || prediction.version > version || prediction.nLeaves > length) return null;
    if (prediction.nLeaves === length) return prediction;
    if (prediction.version === version) return null;
    const [classes, certainty] = [prediction.classes, prediction.certainty].map((own) => extendTable(own, splits));
    return classes.length === length ? { ...prediction, nLeaves: length, classes, certainty } : null;
}

/** Whether the decoder names a class for any leaf: without examples its table is empty. */
export function hasPredictions(prediction) {
    return prediction !== null && prediction.classes.some((number) => number > 0);
}

/** The lowest certainty, in 0..256, that reaches a threshold of 0..1. */
export function lowestCertainty(threshold) {
    for (let certainty = 0; certainty <= CERTAIN; certainty++) if (certainty / CERTAIN >= threshold) return certainty;
    return CERTAIN + 1;
}

/**
 * Class that each leaf shows.
 * @param {Uint8Array | null} table class that somebody gave each leaf, 0 = none
 * @param {{classes: Uint8Array, certainty: Uint8Array} | null} prediction
 * @param {{on: boolean, threshold: number}} completion
 * @param {Map<number, number[]>} palette live classes: a deleted one hides, on both sides
 * @returns {Uint8Array | null} `table` itself where nothing is completed
 */
export function completedTable(table, prediction, completion, palette) {
    if (!table || !prediction || !completion.on) return table;
    const lowest = lowestCertainty(completion.threshold);
    const shown = table.slice();
    for (let leaf = 0; leaf < shown.length; leaf++) {
        if (shown[leaf] && palette.has(shown[leaf])) continue;
        const number = prediction.classes[leaf];
        shown[leaf] = number && prediction.certainty[leaf] >= lowest && palette.has(number) ? number : 0;
    }
    return shown;
}

/**
 * Where a leaf's class comes from.
 * @returns {{class: number, source: "assigned" | "predicted" | null, certainty: number}} class 0 = none; certainty 0..1
 *     is 1 where somebody gave the class, else the decoder's
 */
export function classOfLeaf(leaf, table, shown, prediction, palette) {
    if (table[leaf] && palette.has(table[leaf])) return { class: table[leaf], source: "assigned", certainty: 1 };
    const likely = prediction && palette.has(prediction.classes[leaf]) ? prediction.classes[leaf] : 0;
    const certainty = likely ? prediction.certainty[leaf] / CERTAIN : 0;
    const isShown = likely > 0 && shown[leaf] === likely;
    return { class: isShown ? likely : 0, source: isShown ? "predicted" : null, certainty };
}

/**
 * The second lookup table of the shader: certainty and source of each leaf.
 * @returns {Uint8Array} 65,536 texels of two bytes: certainty 0..255, a number of SOURCE
 */
export function certaintyTexels(table, shown, prediction, palette) {
    const texels = new Uint8Array(TEXELS * 2);
    for (let leaf = 0; leaf < (table?.length ?? 0); leaf++) {
        const at = 2 * leaf;
        if (table[leaf] && palette.has(table[leaf])) {
            texels[at] = CERTAIN;
            texels[at + 1] = SOURCE.assigned;
        } else if (prediction && palette.has(prediction.classes[leaf])) {
            texels[at] = prediction.certainty[leaf];
            texels[at + 1] = shown[leaf] ? SOURCE.predicted : SOURCE.unsure;
        }
    }
    return texels;
}

/**
 * Colors of the certainty overlay from unsure to sure, [r, g, b, a] of 0..1 each. Orange and blue stay apart with every
 * common color-vision deficiency; what is unsure is drawn more solidly, as that is where a click helps.
 */
export const CERTAINTY_RAMP = [
    [0.93, 0.36, 0.05, 0.95],
    [0.98, 0.83, 0.55, 0.85],
    [0.11, 0.4, 0.67, 0.75],
];

/** The ramp as a CSS gradient, for the legend. */
export function rampGradient(direction = "to right") {
    const stops = CERTAINTY_RAMP.map(([r, g, b]) => `rgb(${[r, g, b].map((value) => Math.round(value * 255)).join(" ")})`);
    return `linear-gradient(${direction}, ${stops.join(", ")})`;
}

/** "83%" of a certainty of 0..1; never "100%" for what is only nearly certain. */
export function formatCertainty(certainty) {
    return `${certainty < 1 ? Math.min(99, Math.round(certainty * 100)) : 100}%`;
}
