/** "Complete the map": the switch and the threshold that all members share, and the legend of the certainty overlay. */
import { formatShare } from "../model/areas.js";
import { formatCertainty, hasPredictions, rampGradient } from "../model/completion.js";
import { byId, byTestId, debounced, setMessage } from "./dom.js";

const FINE = 200; // clusters: with the rest predicted, small clusters leave more of it to the decoder (ADR 0010)
const PAUSE = 250; // ms without a change after which the slider counts as let go: arrow keys step through values

/** What the decoder has done, in a sentence. */
export function completionText(completion, hasTable, extents) {
    if (!hasTable) return "Predicts the rest of the map, once two classes have a cluster each.";
    if (!completion.on) return "Predict the rest of the map from your clicks.";
    if (!extents) return "The rest of the map is predicted from your clicks.";
    const open = extents.get(0);
    let [total, predicted] = [0, 0];
    for (const extent of extents.values()) {
        total += extent.value;
        predicted += extent.predicted;
    }
    const share = formatShare(total ? predicted / total : NaN);
    return `${share} is predicted (striped), ${formatShare(open.share)} stays open.`;
}

/**
 * @param {import("../state.js").ProjectState} state
 * @param {import("../commands.js").Commands} commands
 * @returns {{toggle: () => void}}
 */
export function completionPanel(state, commands) {
    const toggle = byTestId("complete");
    const slider = byTestId("threshold");
    const legend = byTestId("certainty-legend");
    const finer = byTestId("finer-clusters");
    let dragging = false;

    function showSettings() {
        const { on, threshold } = state.completion;
        toggle.checked = on;
        if (!dragging) slider.value = Math.round(threshold * 100);
        byTestId("threshold-value").textContent = formatCertainty(threshold);
        slider.setAttribute("aria-valuetext", formatCertainty(threshold));
        byId("certainty-mark").style.left = `${threshold * 100}%`;
        byId("certainty-mark").hidden = !on;
    }

    function showHint() {
        const fine = Math.min(FINE, state.maxCut);
        byId("completion-finer").hidden = !state.completion.on || state.cut >= fine || !state.tree;
        finer.textContent = `Show ${fine}`;
    }

    function showText() {
        byId("completion-status").textContent = completionText(state.completion, hasPredictions(state.prediction), state.classExtents());
    }

    function showLegend() {
        legend.hidden = state.mode !== "certainty";
        const note = hasPredictions(state.prediction) ? "" : "Nothing is predicted yet: click a cluster of each of two classes.";
        setMessage(byId("certainty-note"), note);
    }

    const send = debounced(() => {
        const { on } = state.completion;
        dragging = false;
        commands.setCompletion(on, slider.value / 100);
        state.setThresholdPreview(null);
    }, PAUSE);

    toggle.addEventListener("change", () => commands.setCompletion(toggle.checked, state.completion.threshold));
    slider.addEventListener("input", () => {
        dragging = true;
        state.setThresholdPreview(slider.value / 100);
    });
    slider.addEventListener("change", send);
    finer.addEventListener("click", () => state.setCut(FINE));

    // Painting and the slider change the sums many times a frame.
    let frame = 0;
    const soon = () => {
        frame ||= requestAnimationFrame(() => {
            frame = 0;
            showText();
        });
    };
    state.on("completion", showSettings);
    for (const event of ["completion", "prediction", "table", "classes", "statistics", "counts"]) state.on(event, soon);
    for (const event of ["mode", "prediction"]) state.on(event, showLegend);
    for (const event of ["completion", "clusters"]) state.on(event, showHint);
    byId("certainty-ramp").style.backgroundImage = rampGradient();
    showSettings();
    showText();
    showHint();
    showLegend();
    return { toggle: () => commands.setCompletion(!state.completion.on, state.completion.threshold) };
}
