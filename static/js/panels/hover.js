/** What is under the cursor: class, area, share, mean spectrum against the scene's. */
import * as api from "../api.js";
import { formatArea, formatPixels, formatShare } from "../model/areas.js";
import { dataBands } from "../model/bands.js";
import { byId, byTestId, debounced, el, svg } from "./dom.js";

const PAUSE = 120; // ms that the cursor must rest before a spectrum is fetched
const KEEP = 500; // spectra kept
const [WIDTH, HEIGHT] = [232, 64]; // of the chart, in its own units

/**
 * Points of a line over all bands, scaled so that both lines fit.
 * @param {number[]} values one a band
 */
export function chartPoints(values, low, high) {
    const span = high - low || 1;
    const x = (index) => (values.length > 1 ? 6 + (index / (values.length - 1)) * (WIDTH - 12) : WIDTH / 2);
    const y = (value) => HEIGHT - 6 - ((value - low) / span) * (HEIGHT - 12);
    return values.map((value, index) => [x(index), y(value)]);
}

function line(points, name) {
    const path = svg("polyline", { class: name, points: points.map((point) => point.map((v) => v.toFixed(1)).join(",")).join(" ") });
    const dots = points.length > 16 ? [] : points.map(([cx, cy]) => svg("circle", { class: name, cx, cy, r: 2 }));
    return [path, ...dots];
}

function chart(own, scene, labels) {
    const all = [...own, ...scene].filter(Number.isFinite);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "Mean spectrum of the cluster and of the scene" });
    drawing.append(...line(chartPoints(scene, low, high), "of-scene"), ...line(chartPoints(own, low, high), "of-cluster"));
    const shown = labels.length <= 8 ? labels : [labels[0], labels[labels.length - 1]];
    return [
        drawing,
        el("div", { class: "chart-axis" }, ...shown.map((label) => el("span", {}, label))),
        el("div", { class: "chart-legend" }, el("span", { class: "of-cluster" }, "cluster"), el("span", { class: "of-scene" }, "scene")),
    ];
}

/** Bands that a spectrum of `count` values speaks of. */
function bandsOf(count, info, segmentation) {
    if (count === info.n_bands) return info.means.map((_, index) => index + 1);
    const chosen = segmentation.parameters?.bands ?? dataBands(info);
    return chosen.length === count ? chosen : Array.from({ length: count }, (_, index) => index + 1);
}

export function hoverPanel(state, tools) {
    const box = byTestId("hover-box");
    const plot = byTestId("hover-spectrum");
    const spectra = new Map();
    let shownFor = "";

    async function spectrumOf(id, { low, high }) {
        const key = `${id}/${low}-${high}`;
        if (!spectra.has(key)) {
            const query = `low=${low}&high=${high}&project=${state.project.id}`;
            spectra.set(key, api.get(`/api/segmentations/${id}/spectrum?${query}`));
            if (spectra.size > KEEP) spectra.delete(spectra.keys().next().value);
        }
        try {
            return await spectra.get(key);
        } catch (error) {
            spectra.delete(key); // asked for again the next time
            throw error;
        }
    }

    const fetchSpectrum = debounced(async () => {
        const cluster = tools.hovered;
        const { segmentation } = state;
        const { info } = state.scene ?? {};
        if (!cluster || !segmentation || !info) return;
        const key = `${segmentation.id}/${cluster.low}-${cluster.high}`;
        if (key === shownFor) return;
        try {
            const { mean, pixels } = await spectrumOf(segmentation.id, cluster);
            if (tools.hovered?.low !== cluster.low || tools.hovered?.high !== cluster.high) return;
            shownFor = key;
            if (!pixels || !mean.length) {
                plot.replaceChildren(el("p", { class: "hint" }, "No pixels counted yet."));
                return;
            }
            const bands = bandsOf(mean.length, info, segmentation);
            // "B08 near infrared" is too long for an axis: its first word tells the band.
            const labels = bands.map((band) => info.band_names[band - 1].split(" ")[0] || String(band));
            plot.replaceChildren(...chart(mean, bands.map((band) => info.means[band - 1]), labels));
        } catch (error) {
            plot.replaceChildren(el("p", { class: "hint" }, `No spectrum: ${error.message}`));
        }
    }, PAUSE);

    function showFacts(cluster) {
        const label = state.classOfCluster(cluster);
        byTestId("hover-class").textContent = label === "mixed" ? "Several classes" : (label?.name ?? "No class");
        byId("hover-swatch").style.backgroundColor = label && label !== "mixed" ? label.color : "transparent";
        const extent = state.extent(cluster);
        const size = extent && (extent.inArea ? formatArea(extent.value) : formatPixels(extent.value));
        byTestId("hover-area").textContent = extent ? `${size} · ${formatShare(extent.share)}` : "counting …";
    }

    function show(cluster, same) {
        box.hidden = !cluster;
        if (!cluster) return;
        showFacts(cluster);
        if (!same) plot.replaceChildren();
        if (!same) shownFor = "";
        fetchSpectrum();
    }

    const again = () => show(tools.hovered, true);
    tools.on("hover", ({ cluster, same }) => {
        if (!same || box.hidden !== !cluster) show(cluster, same);
    });
    state.on("table", again);
    state.on("classes", again);
    state.on("statistics", () => {
        spectra.clear();
        shownFor = "";
        again();
    });
}
