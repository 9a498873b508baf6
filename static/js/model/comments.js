/** Notes on the map: threads out of the server's list. */

const EXCERPT = 90; // characters

/**
 * @param {object[]} comments as GET /api/projects/<id>/comments gives them, the oldest first
 * @returns {{id: number, row: number, col: number, first: object, all: object[], isSettled: boolean, at: string}[]} the thread
 *     in which something was written last comes first
 */
export function threadsOf(comments) {
    const threads = new Map();
    for (const one of comments) {
        if (one.parent === null) {
            threads.set(one.id, { id: one.id, row: one.row, col: one.col, first: one, all: [one], isSettled: one.resolved_at !== null, at: one.created_at });
        }
    }
    for (const one of comments) {
        const thread = threads.get(one.parent);
        if (!thread) continue;
        thread.all.push(one);
        if (one.created_at > thread.at) thread.at = one.created_at;
    }
    return [...threads.values()].sort((one, other) => (one.at < other.at ? 1 : one.at > other.at ? -1 : other.id - one.id));
}

/** The first line of a note, shortened. */
export function excerpt(text) {
    const line = text.split("\n").find((one) => one.trim()) ?? "";
    const letters = Array.from(line.trim());
    return letters.length > EXCERPT ? `${letters.slice(0, EXCERPT - 1).join("")}…` : letters.join("");
}
