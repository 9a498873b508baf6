/** Splitting a cluster by hand: pick it on the map, choose the number of parts, see them, make them. */
import { formatArea, formatPixels, formatShare } from "../model/areas.js";
import { PART_COLORS } from "../model/splits.js";
import { byId, byTestId, el, setMessage } from "./dom.js";

const PICK = "Click the cluster to split.";

/**
 * @param {import("../state.js").ProjectState} state
 * @param {import("../tools.js").Tools} tools
 * @param {import("../commands.js").Commands} commands
 * @returns {{toggle: () => void, close: () => boolean}}
 */
export function splitPanel(state, tools, commands) {
    const panel = byId("split-panel");
    const openButton = byTestId("split-open");
    const count = byTestId("split-count");
    const list = byTestId("split-preview");
    const apply = byTestId("split-apply");
    let cluster = null;
    let segmentation = null;
    let parts = [];

    function swatch(index) {
        const square = el("span", { class: "swatch" });
        square.style.backgroundColor = `rgb(${PART_COLORS[index].join(" ")})`;
        return square;
    }

    function extentOf(ranges) {
        if (!state.statistics) return "counting …";
        const { values, inArea } = state.statistics;
        const value = state.clusters.sumOver(values, ranges);
        const whole = state.extent(cluster).value;
        const size = inArea ? formatArea(value) : formatPixels(value);
        return `${size} · ${formatShare(whole ? value / whole : NaN)} of it`;
    }

    function showParts() {
        list.replaceChildren(...parts.map(({ ranges }, index) => el("li", {}, swatch(index), el("span", { class: "number" }, extentOf(ranges)))));
        apply.disabled = parts.length < 2;
        state.setSplitPreview(parts.length ? { parts: parts.map(({ ranges }) => ranges) } : null);
    }

    /** Cut the picked cluster anew: it, or the number of parts, has changed. */
    function cut() {
        byId("split-count-value").textContent = count.value;
        parts = state.clusters.partsOf(cluster.node, Number(count.value));
        setMessage(byId("split-error"), "");
        showParts();
    }

    function pick(chosen) {
        cluster = chosen;
        segmentation = state.segmentation.id;
        const leaves = chosen.high - chosen.low;
        byId("split-hint").textContent = "Everybody will see the parts as clusters of their own, at every granularity.";
        count.max = Math.min(8, Math.max(2, leaves));
        byId("split-body").hidden = false;
        cut();
    }

    function close() {
        if (panel.hidden) return false;
        panel.hidden = true;
        cluster = null;
        parts = [];
        byId("split-body").hidden = true;
        state.setSplitPreview(null);
        if (tools.tool === "split") tools.setTool("pan");
        return true;
    }

    function open() {
        panel.hidden = false;
        apply.disabled = true;
        byId("split-hint").textContent = PICK;
        setMessage(byId("split-error"), "");
        tools.setTool("split");
    }

    const toggle = () => close() || open();

    openButton.addEventListener("click", toggle);
    byTestId("split-cancel").addEventListener("click", close);
    count.addEventListener("input", cut);
    panel.addEventListener("submit", (event) => {
        event.preventDefault();
        if (apply.disabled) return;
        commands.splitCluster(cluster, parts.map(({ part }) => part));
        close();
    });
    tools.on("pick", ({ cluster: chosen }) => pick(chosen));
    tools.on("tool", (tool) => {
        openButton.setAttribute("aria-pressed", String(tool === "split"));
        if (tool !== "split") close();
    });
    state.on("state", () => cluster && state.segmentation?.id !== segmentation && close());
    state.on("statistics", () => cluster && showParts());
    return { toggle, close };
}
