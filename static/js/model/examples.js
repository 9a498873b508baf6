/** A project's examples: what waits for the server, sums by class, how one is called. */
import { formatPixels } from "./areas.js";
import { thinned } from "./strokes.js";

export const MOST_DRAWN = 5000; // pixels of imports on the map at a time

/** Kinds of edits after which the examples may be others. */
const UNRELATED = /^(aoi\.|completion\.|class\.(create|rename|recolor|reorder)|legend\.)/;

export const mayChangeExamples = (kind) => !UNRELATED.test(kind);

/** The examples after commands that the server has not answered; new ones have number 0. */
export function examplesAfter(examples, pending) {
    let shown = examples;
    for (const command of pending) {
        if (command.type === "examples.add") {
            const added = command.examples.map((one) => ({ ...one, number: 0, kind: "stroke" }));
            shown = [...shown, ...added];
        }
        if (command.type === "examples.remove") shown = shown.filter(({ number }) => !command.targets.includes(number));
    }
    return shown;
}

/**
 * Pixels by class.
 * @returns {Map<number, {points: number, against: number, clicks: number, strokes: number, imported: number}>}
 */
export function examplesByClass(examples) {
    const sums = new Map();
    for (const { class: number, against, kind, points } of examples) {
        if (!sums.has(number)) sums.set(number, { points: 0, against: 0, clicks: 0, strokes: 0, imported: 0 });
        const sum = sums.get(number);
        sum[against ? "against" : "points"] += points.length;
        if (kind === "click") sum.clicks += 1;
        if (kind === "stroke") sum.strokes += 1;
        if (kind === "import") sum.imported += points.length;
    }
    return sums;
}

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

/** "3 clicks, 1 stroke, 40 px imported" */
export function describeSum({ clicks, strokes, imported }) {
    const parts = [clicks && plural(clicks, "click"), strokes && plural(strokes, "stroke")];
    if (imported) parts.push(`${formatPixels(imported)} imported`);
    return parts.filter(Boolean).join(", ");
}

/**
 * What one example is, for whoever selects it.
 * @param {object} example
 * @param {object[]} examples all of them: an import is removed as a whole
 */
export function describeExample(example, examples) {
    const pixels = formatPixels(example.points.length);
    if (example.kind === "click") return { text: "A click", action: "Remove the example" };
    if (example.kind === "stroke") return { text: `A stroke, ${pixels}`, action: "Remove the stroke" };
    const all = examples.filter(({ number }) => number === example.number);
    const total = all.reduce((sum, { points }) => sum + points.length, 0);
    return { text: `Imported, ${pixels}`, action: `Remove the whole import (${formatPixels(total)})` };
}

/**
 * What is drawn of each example, so that a large import does not stall the map.
 * @returns {{example: object, points: number[][]}[]}
 */
export function drawnExamples(examples, most = MOST_DRAWN) {
    const isImport = ({ kind }) => kind === "import";
    const imported = examples.filter(isImport).reduce((sum, { points }) => sum + points.length, 0);
    const share = Math.min(1, most / Math.max(1, imported));
    return examples.map((example) => ({
        example,
        points: isImport(example) ? thinned(example.points, Math.max(1, Math.floor(example.points.length * share))) : example.points,
    }));
}
