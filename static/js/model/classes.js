/** Classes as people see them: order, default names and colors. */

/**
 * Default colors that people with any of the common color-vision deficiencies can tell apart. The first eight are
 * Okabe and Ito (2008), "Color Universal Design", without their black; the rest fill in from Tol (2021), "Colour
 * schemes", SRON/EPS/TN/09-002, "muted".
 */
export const PALETTE = [
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7",
    "#332288", "#999933", "#882255", "#44aa99", "#ddcc77", "#117733", "#aa4499",
];

/** Live classes in the order people gave them. */
export function liveClasses(classes) {
    return classes
        .filter((label) => !label.deleted)
        .sort((a, b) => a.position - b.position || a.number - b.number);
}

/** The first default color that no live class has; round again once all are taken. */
export function nextColor(classes) {
    const used = new Set(liveClasses(classes).map((label) => label.color.toLowerCase()));
    return PALETTE.find((color) => !used.has(color)) ?? PALETTE[liveClasses(classes).length % PALETTE.length];
}

/** "Class 1", "Class 2", ...: the first that is free. */
export function nextName(classes) {
    const used = new Set(liveClasses(classes).map((label) => label.name.toLowerCase()));
    for (let i = 1; ; i++) if (!used.has(`class ${i}`)) return `Class ${i}`;
}

const NAME_LIMIT = 80;

/**
 * Check a class name as the server will.
 * @param {number | null} except number of the class that is being renamed
 * @returns {string} the name without surrounding blanks
 */
export function checkName(text, classes, except = null) {
    const name = text.trim();
    if (!name) throw new Error("A class needs a name: type one, or press Esc to keep the old one.");
    if (name.length > NAME_LIMIT) {
        throw new Error(`The name has ${name.length} characters; shorten it to at most ${NAME_LIMIT}.`);
    }
    const same = liveClasses(classes).find(
        (label) => label.number !== except && label.name.toLowerCase() === name.toLowerCase(),
    );
    if (same) throw new Error(`There is a class "${same.name}" already; choose another name.`);
    return name;
}

/** Class numbers in order after moving one of them to another index. */
export function moved(order, number, toIndex) {
    const rest = order.filter((other) => other !== number);
    rest.splice(Math.max(0, Math.min(rest.length, toIndex)), 0, number);
    return rest;
}
