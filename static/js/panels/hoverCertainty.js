/** In the hover box: what the decoder says of the spot under the cursor, and of its whole cluster. */
import * as api from "../api.js";
import { formatCertainty, hasPredictions } from "../model/completion.js";
import { byTestId, debounced, el } from "./dom.js";

const PAUSE = 120; // ms that the cursor must rest on a cluster before its classes are fetched
const KEEP = 200; // answers kept
const MOST = 3; // classes shown

function dot(color) {
    const swatch = el("span", { class: "swatch dot" });
    swatch.style.backgroundColor = color;
    return swatch;
}

function bar(label, certainty) {
    const filled = el("span");
    filled.style.width = `${certainty * 100}%`;
    filled.style.backgroundColor = label.color;
    return el(
        "li",
        {},
        el("span", { class: "certainty-name" }, label.name),
        el("span", { class: "certainty-bar", "aria-hidden": "true" }, filled),
        el("span", { class: "number" }, formatCertainty(certainty)),
    );
}

/** @param {import("../state.js").ProjectState} state @param {import("../tools.js").Tools} tools */
export function hoverCertaintyPanel(state, tools) {
    const box = byTestId("hover-certainty");
    const spot = el("p", { class: "hover-spot" });
    const bars = el("ul", { class: "certainty-bars" });
    box.append(spot, bars);
    const answers = new Map();
    let leaf = null;
    let drawn = 0; // by hand, which hoverDrawn.js tells
    let shownFor = "";

    const isOn = () => (state.completion.on || state.mode === "certainty") && hasPredictions(state.prediction);

    function showSpot() {
        const known = state.classOfLeaf(leaf);
        const label = known && state.classOf(known.class);
        if (!known || state.shownClasses[tools.drawn]) spot.replaceChildren();
        else if (known.source === "assigned") spot.replaceChildren("Here: ", dot(label.color), label.name, ", assigned");
        else if (known.source === "predicted") {
            spot.replaceChildren("Here: ", dot(label.color), label.name, `, predicted ${formatCertainty(known.certainty)}`);
        } else spot.replaceChildren(`Here: no class${known.certainty ? `, at best ${formatCertainty(known.certainty)} certain` : ""}`);
    }

    async function answerFor(project, { low, high }, number) {
        const key = `${project}/${low}-${high}/${number}`;
        if (!answers.has(key)) {
            answers.set(key, api.get(`/api/projects/${project}/certainty?low=${low}&high=${high}`));
            if (answers.size > KEEP) answers.delete(answers.keys().next().value);
        }
        try {
            return await answers.get(key);
        } catch (error) {
            answers.delete(key); // asked for again the next time
            throw error;
        }
    }

    const fetchBars = debounced(async () => {
        const cluster = tools.hovered;
        if (!cluster || !isOn()) return;
        const { number } = state.prediction;
        const key = `${cluster.low}-${cluster.high}/${number}`;
        if (key === shownFor) return;
        const isWanted = () => tools.hovered?.low === cluster.low && tools.hovered?.high === cluster.high;
        try {
            const { classes } = await answerFor(state.project.id, cluster, number);
            if (!isWanted()) return;
            shownFor = key;
            const likely = classes.map(({ class: number, certainty }) => [state.classOf(number), certainty]);
            bars.replaceChildren(...likely.filter(([label]) => label).slice(0, MOST).map(([label, certainty]) => bar(label, certainty)));
        } catch (error) {
            if (isWanted()) bars.replaceChildren(el("li", { class: "hint" }, `No certainties: ${error.message}`));
        }
    }, PAUSE);

    function show(same) {
        box.hidden = !isOn() || !tools.hovered;
        if (box.hidden) return;
        showSpot();
        if (!same) {
            bars.replaceChildren();
            shownFor = "";
        }
        fetchBars();
    }

    tools.on("hover", ({ leaf: under, same }) => {
        const moved = leaf !== under || drawn !== tools.drawn;
        leaf = under;
        drawn = tools.drawn;
        if (!same || moved || box.hidden === isOn()) show(same);
    });
    for (const event of ["prediction", "completion", "mode", "table", "classes"]) state.on(event, () => show(true));
}
