/** Two states compared: the answer of the server as a table of areas. */
import { formatArea, formatPixels, formatShare } from "./areas.js";

const NONE = { number: 0, name: "No class", color: null };

/**
 * @param {object} comparison as GET /api/projects/<id>/comparison gives it
 * @returns {{labels: object[], cells: number[][], before: number[], after: number[], total: number, changed: number, format: (value: number) => string}}
 *     `labels` of rows and columns; `cells[i][j]`: from class i to class j, m² or pixels; sums of rows and columns
 */
export function matrixOf(comparison) {
    const value = (cell) => (comparison.in_area ? cell.area_m2 : cell.pixels);
    const used = new Set(comparison.matrix.flatMap(({ before, after }) => [before, after]));
    const known = [...comparison.classes, NONE].filter(({ number }) => used.has(number));
    // A class that is in neither list any more can only have been deleted in between; its pixels count all the same.
    const missing = [...used].filter((number) => !known.some((label) => label.number === number));
    const labels = [...known, ...missing.map((number) => ({ ...NONE, number, name: `Class ${number}` }))];
    const place = new Map(labels.map(({ number }, index) => [number, index]));
    const cells = labels.map(() => labels.map(() => 0));
    for (const cell of comparison.matrix) cells[place.get(cell.before)][place.get(cell.after)] += value(cell);
    const sum = (values) => values.reduce((total, one) => total + one, 0);
    const total = sum(cells.map(sum));
    return {
        labels,
        cells,
        before: cells.map(sum),
        after: labels.map((_, column) => sum(cells.map((row) => row[column]))),
        total,
        changed: total - sum(cells.map((row, index) => row[index])),
        format: comparison.in_area ? formatArea : formatPixels,
    };
}

/** "3.2 ha of 120 ha changed (2.7%)" */
export function summaryOf({ total, changed, format }) {
    if (changed <= 0) return "Nothing changed between the two.";
    return `${format(changed)} of ${format(total)} changed (${formatShare(changed / total)}).`;
}

/** "+1.2 ha": how much more of a class there is; "" where it is the same. */
export function difference(before, after, format) {
    const more = after - before;
    if (Math.abs(more) < 1e-6 * Math.max(before, after)) return "±0";
    return `${more > 0 ? "+" : "−"}${format(Math.abs(more))}`;
}
