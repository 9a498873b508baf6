/** Who else is at the project, from the events that tell of it. */

/** @typedef {{connection: string, user: number, name: string, color: string, role: string, point: number[] | null,
 *     leaf: number | null, view: number[] | null, cut: number, idle: boolean}} Person */

export class People {
    #connections = new Map(); // connection -> {person, heard}
    #heard = 0;

    /** Take in one event `presence`. */
    apply({ people = [], gone = [] }) {
        for (const person of people) this.#connections.set(person.connection, { person, heard: ++this.#heard });
        for (const connection of gone) this.#connections.delete(connection);
    }

    clear() {
        this.#connections.clear();
    }

    /**
     * Everybody but `self`, each once whatever the number of their tabs: the tab that they used last. Who is active comes first.
     * @param {string} self name of whoever looks at this page
     * @returns {Person[]}
     */
    others(self) {
        const best = new Map();
        for (const one of this.#connections.values()) {
            const { person, heard } = one;
            if (person.name === self) continue;
            const other = best.get(person.user);
            const isBetter = !other || (person.idle === other.person.idle ? heard > other.heard : !person.idle);
            if (isBetter) best.set(person.user, one);
        }
        const people = [...best.values()].map(({ person }) => person);
        return people.sort((a, b) => a.idle - b.idle || a.name.localeCompare(b.name));
    }
}

/** "AL" of "ana.lopez", "B" of "boris": at most two letters. */
export function initials(name) {
    const words = name.split(/[\s._@+-]+/u).filter(Boolean);
    const letters = (words.length ? words : ["?"]).slice(0, 2).map((word) => Array.from(word)[0]);
    return letters.join("").toLocaleUpperCase();
}

/** "Boris, editor, idle" */
export const describePerson = ({ name, role, idle }) => [name, role, idle && "idle"].filter(Boolean).join(", ");

/**
 * The rectangle of scene pixels around the middle of a view that the view would show were the scene upright.
 * @param {{row: number, col: number}} middle
 * @param {number} scale CSS pixels a scene pixel
 * @param {{x: number, y: number}} size of the map, CSS pixels
 */
export function viewBox(middle, scale, size) {
    const [height, width] = [size.y / scale / 2, size.x / scale / 2];
    return [middle.row - height, middle.col - width, middle.row + height, middle.col + width];
}

/** Inverse of `viewBox`: the middle, and the scale at which the whole box fits into a map of `size`. */
export function viewOfBox([row0, col0, row1, col1], size) {
    const scale = Math.min(size.y / Math.max(row1 - row0, 1e-6), size.x / Math.max(col1 - col0, 1e-6));
    return { row: (row0 + row1) / 2, col: (col0 + col1) / 2, scale };
}

/**
 * One step of a smooth way: after `tau` ms two thirds are done; close to the end it is there.
 * @param {number[]} from @param {number[]} to @param {number} elapsed ms
 */
export function glide(from, to, elapsed, tau, near) {
    const share = 1 - Math.exp(-elapsed / tau);
    const next = from.map((value, axis) => value + share * (to[axis] - value));
    return Math.hypot(to[0] - next[0], to[1] - next[1]) < near ? to : next;
}

/**
 * What others point at, as colors of leaves: RGBA, alpha 0 where nobody does. Where two point at the same, the first one shows.
 * @param {{color: string, lights: Uint8Array}[]} pointed one byte for each number, above 0 where it belongs to it
 * @param {number} entries
 */
export function pointedTexels(pointed, entries) {
    const texels = new Uint8Array(entries * 4);
    for (const { color, lights } of pointed) {
        const rgb = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
        for (let leaf = 0; leaf < entries; leaf++) {
            if (lights[leaf] && !texels[leaf * 4 + 3]) texels.set([...rgb, 255], leaf * 4);
        }
    }
    return texels;
}
