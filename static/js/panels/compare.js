/** The dialog that compares two versions, or one with now: areas by class, and what changed on the map. */
import { difference, matrixOf, summaryOf } from "../model/comparison.js";
import { moment } from "../model/edits.js";
import { byId, byTestId, el, setMessage } from "./dom.js";

const NOW = "now";

/** @returns {{open: (before: number | null) => Promise<void>}} */
export function comparePanel(state, versions, viewing) {
    const dialog = byTestId("compare-dialog");
    const before = byTestId("compare-before");
    const after = byTestId("compare-after");
    const show = byTestId("compare-show");
    let found = null;

    function choices() {
        const named = versions.list.map(({ number, name }) => [String(number), `${name} (edit ${number})`]);
        const { viewed } = state;
        if (viewed && !named.some(([value]) => value === String(viewed.number))) {
            named.unshift([String(viewed.number), `What you look at (edit ${viewed.number}, ${moment(viewed.at)})`]);
        }
        return named;
    }

    function fill(select, options, value) {
        select.replaceChildren(...options.map(([key, text]) => el("option", { value: key }, text)));
        if (options.some(([key]) => key === value)) select.value = value;
    }

    async function compare() {
        found = null;
        show.disabled = true;
        setMessage(byTestId("compare-error"), "");
        byId("compare-scroll").hidden = true;
        byId("compare-hint").hidden = true;
        if (!before.value) {
            byTestId("compare-summary").textContent = "There is no version to compare with yet. Save one first.";
            return;
        }
        byTestId("compare-summary").textContent = "Comparing …";
        try {
            found = await viewing.compare(Number(before.value), after.value === NOW ? null : Number(after.value));
            if (found) draw(matrixOf(found));
        } catch (error) {
            byTestId("compare-summary").textContent = "";
            setMessage(byTestId("compare-error"), error.message);
        }
    }

    function heading(label, scope) {
        const swatch = el("span", { class: label.color ? "swatch" : "swatch none", "aria-hidden": "true" });
        if (label.color) swatch.style.backgroundColor = label.color;
        return el("th", { scope }, el("span", { class: "compare-class" }, swatch, el("span", {}, label.name)));
    }

    function draw(matrix) {
        const { labels, cells, format } = matrix;
        const text = (value) => (value > 0 ? format(value) : "–");
        const head = el("tr", {}, el("td", {}), ...labels.map((label) => heading(label, "col")), el("th", { scope: "col" }, "Before"));
        const rows = cells.map((row, i) => {
            const values = row.map((value, j) => el("td", { class: i === j ? "same" : value > 0 ? "changed" : "" }, text(value)));
            return el("tr", {}, heading(labels[i], "row"), ...values, el("td", { class: "sum" }, text(matrix.before[i])));
        });
        const sums = el("tr", { class: "sum" }, el("th", { scope: "row" }, "After"), ...matrix.after.map((value) => el("td", {}, text(value))), el("td", {}, text(matrix.total)));
        const change = matrix.after.map((value, i) => el("td", {}, difference(matrix.before[i], value, format)));
        const more = el("tr", { class: "difference" }, el("th", { scope: "row" }, "Change"), ...change, el("td", {}));
        byTestId("compare-table").replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows), el("tfoot", {}, sums, more));
        const carried = found.exact ? "" : " One of them had another segmentation, so that this is approximate.";
        byTestId("compare-summary").textContent = summaryOf(matrix) + carried;
        byId("compare-scroll").hidden = false;
        byId("compare-hint").hidden = false;
        show.disabled = matrix.changed <= 0;
    }

    for (const select of [before, after]) select.addEventListener("change", compare);
    show.addEventListener("click", async () => {
        show.disabled = true;
        try {
            await viewing.showChanges(found);
            dialog.close();
        } catch (error) {
            setMessage(byTestId("compare-error"), error.message);
        } finally {
            show.disabled = !found;
        }
    });
    byTestId("compare-open").addEventListener("click", () => open(null));

    async function open(number) {
        await versions.want();
        const named = choices();
        fill(before, named, String(number ?? named[0]?.[0]));
        fill(after, [[NOW, "Now"], ...named], NOW);
        dialog.showModal();
        await compare();
    }

    return { open };
}
