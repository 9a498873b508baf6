/** The tables that the shader reads: one RGBA texel and one cluster key per leaf, 256 x 256 in all. */

export const LOOKUP_SIDE = 256;
const TEXELS = LOOKUP_SIDE * LOOKUP_SIDE;

/** @returns {number[]} [r, g, b] of "#rrggbb" */
export function parseColor(text) {
    const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
    if (!match) throw new Error(`"${text}" is not a color of the form #rrggbb.`);
    return match.slice(1).map((part) => parseInt(part, 16));
}

/** Class number -> [r, g, b] of the classes that are not deleted: deleting hides assignments, nothing is rewritten. */
export function paletteOf(classes) {
    return new Map(classes.filter((label) => !label.deleted).map((label) => [label.number, parseColor(label.color)]));
}

/**
 * Color of every leaf. A leaf with a class shows the class; without one it shows its cluster, or nothing in the
 * "classes" mode. Values past the last leaf (nodata among them) stay transparent.
 * @param {{rgb: Uint8Array}} tree
 * @param {Uint32Array} clusterOf tree node of each leaf
 * @param {Uint8Array | null} table class of each leaf, 0 = none
 * @param {Map<number, number[]>} palette class number -> [r, g, b]
 * @param {"clusters" | "classes" | "outlines"} mode
 * @returns {Uint8Array} 65,536 RGBA texels
 */
export function colorTexels(tree, clusterOf, table, palette, mode) {
    const texels = new Uint8Array(TEXELS * 4);
    for (let leaf = 0; leaf < clusterOf.length; leaf++) {
        const color = table && table[leaf] ? palette.get(table[leaf]) : undefined;
        const at = leaf * 4;
        if (color) {
            texels[at] = color[0];
            texels[at + 1] = color[1];
            texels[at + 2] = color[2];
        } else {
            if (mode === "classes") continue;
            const node = clusterOf[leaf] * 3;
            texels[at] = tree.rgb[node];
            texels[at + 1] = tree.rgb[node + 1];
            texels[at + 2] = tree.rgb[node + 2];
        }
        texels[at + 3] = 255;
    }
    return texels;
}

export const CLASS_KEY = 0x80000000; // and the number of a class

/**
 * What two neighboring pixels must share for no outline to run between them: the class, or else the cluster.
 * @returns {Uint32Array} 65,536 keys; 0xffffffff past the last leaf
 */
export function outlineKeys(clusterOf, table, palette) {
    const keys = new Uint32Array(TEXELS).fill(0xffffffff);
    for (let leaf = 0; leaf < clusterOf.length; leaf++) {
        const labelled = table && table[leaf] && palette.has(table[leaf]);
        keys[leaf] = labelled ? CLASS_KEY + table[leaf] : clusterOf[leaf];
    }
    return keys;
}
