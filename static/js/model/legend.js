/**
 * Legends as files: the form that `python -m segmentation` reads and writes too, {"classes": {"1": "Water"}, "colors":
 * {"1": "#0000ff"}}.
 */
import { nextColor } from "./classes.js";

const HINT = 'A legend is JSON like {"classes": {"1": "Water"}, "colors": {"1": "#0064c8"}}.';
const MOST_CLASSES = 250;
const NAME_LIMIT = 80;

/** @param {{number: number, name: string, color: string}[]} classes @returns {string} */
export function legendFile(classes) {
    const saved = classes.filter(({ number }) => number);
    const entries = (field) => Object.fromEntries(saved.map((label) => [label.number, label[field]]));
    return `${JSON.stringify({ classes: entries("name"), colors: entries("color") }, null, 1)}\n`;
}

/**
 * Read such a file; classes without a color get a default one.
 * @param {string} text
 * @returns {{name: string, color: string}[]} in the order of their numbers
 */
export function parseLegend(text) {
    let value;
    try {
        value = JSON.parse(text);
    } catch (error) {
        throw new Error(`The file is not JSON (${error.message}). ${HINT}`);
    }
    const isTable = (table) => table !== null && typeof table === "object" && !Array.isArray(table);
    const colors = value?.colors ?? {};
    if (!isTable(value?.classes) || !isTable(colors)) throw new Error(`The file holds no classes. ${HINT}`);
    const entries = Object.entries(value.classes);
    if (!entries.length) throw new Error(`The file holds no classes. ${HINT}`);
    if (entries.length > MOST_CLASSES) {
        throw new Error(`The file holds ${entries.length} classes, and a project holds at most ${MOST_CLASSES}; leave some out.`);
    }
    const labels = [];
    for (const [number, given] of entries) {
        const name = typeof given === "string" ? given.trim() : "";
        if (!name || name.length > NAME_LIMIT) {
            throw new Error(`Class ${number} of the file needs a name of 1 to ${NAME_LIMIT} characters. ${HINT}`);
        }
        const color = colors[number];
        if (color !== undefined && !/^#[0-9a-f]{6}$/i.test(color)) {
            throw new Error(`“${name}” has the color “${color}”; write colors as #rrggbb.`);
        }
        labels.push({ name, color: color?.toLowerCase() ?? nextColor(labels.map((label) => ({ ...label, position: 0 }))) });
    }
    return labels;
}

/** Those of a legend whose names are no class of the project yet, each once: what loading it will add. */
export function missingClasses(wanted, classes) {
    const known = new Set(classes.map(({ name }) => name.toLowerCase()));
    return wanted.filter(({ name }) => !known.has(name.toLowerCase()) && known.add(name.toLowerCase()));
}

/** Whether a class is one that a typed filter asks for: every word of it, whatever case and accents. */
export function matchesFilter(name, filter) {
    const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
    const words = plain(filter).split(/\s+/).filter(Boolean);
    return words.every((word) => plain(name).includes(word));
}
