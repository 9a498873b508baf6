/** "Where to click next": a strip of places, ranked by the server; never moves the map by itself. */
import * as api from "../api.js";
import { formatCertainty } from "../model/completion.js";
import { describePlace, following, samePlace } from "../model/suggestions.js";
import { toast } from "../toast.js";
import { byId, byTestId, debounced, el, setMessage, throttled } from "./dom.js";

const COUNT = 6;
const PAUSE = 350; // ms without a change before places are asked for again
const COMPUTING_PAUSE = 4000; // ms between two looks while the segmentation grows
const THUMBNAIL = 88; // CSS pixels a side

/**
 * @param {import("../state.js").ProjectState} state
 * @param {import("../layers/suggestions.js").SuggestionLayer} layer
 * @param {import("../commands.js").Commands} commands
 * @returns {{next: () => void, answer: () => boolean, leave: () => boolean}}
 */
export function suggestionsPanel(state, layer, commands) {
    const section = byId("suggestions");
    const strip = byTestId("suggestions");
    const next = byTestId("suggestion-next");
    let places = [];
    let active = null;
    let shownFor = ""; // what the places on screen were asked for
    let asked = 0; // requests so far: an answer that was overtaken is dropped
    let goWhenThere = false; // "next" was asked for before there was anything
    let pictures = new Map(); // canvas by place and imagery, so that what stays does not blink

    /** What the server's answer depends on, as far as this page can tell. */
    function question() {
        const { segmentation, number, statistics } = state;
        if (!section.open || !segmentation?.tree_ready || !state.tree) return "";
        const known = segmentation.state === "complete" ? "" : (statistics?.valueSums.at(-1) ?? 0);
        return [segmentation.id, segmentation.version ?? 0, segmentation.state, number, known].join("/");
    }

    async function refresh() {
        const wanted = question();
        if (!wanted || wanted === shownFor) return;
        const turn = ++asked;
        strip.setAttribute("aria-busy", "true");
        try {
            const body = await api.get(`/api/projects/${state.project.id}/suggestions?count=${COUNT}`);
            if (turn !== asked || !section.open) return;
            shownFor = wanted;
            places = body.suggestions;
            active = places.find((one) => samePlace(one, active)) ?? null;
            show(places.length ? "" : "Nothing uncertain is left to ask about.");
            if (goWhenThere) go(following(places, active));
        } catch (error) {
            if (turn === asked) show(error.message);
        } finally {
            if (turn === asked) strip.setAttribute("aria-busy", "false");
        }
    }

    const soon = debounced(refresh, PAUSE);
    const grown = throttled(refresh, COMPUTING_PAUSE);

    // ---- what is shown -------------------------------------------------------------------------------------------

    const pictureKey = ({ row, col, bounds }) => [row, col, ...bounds, layer.imagery.query].join();

    function pictureOf(place) {
        const key = pictureKey(place);
        if (pictures.has(key)) return pictures.get(key);
        const pixels = Math.round(THUMBNAIL * Math.min(2, window.devicePixelRatio));
        const canvas = el("canvas", { width: pixels, height: pixels, "aria-hidden": "true" });
        pictures.set(key, canvas);
        layer.picture(place, canvas);
        return canvas;
    }

    function card(place, index) {
        const label = state.classOf(place.class);
        const swatch = el("span", { class: label ? "swatch" : "swatch unknown" });
        if (label) swatch.style.backgroundColor = label.color;
        const text = describePlace(place, label, state.scene.info.gsd_m);
        return el(
            "button",
            {
                type: "button",
                class: "suggestion",
                "data-testid": "suggestion",
                "data-pixel": `${place.row},${place.col}`,
                "aria-pressed": String(samePlace(place, active)),
                "aria-label": `Place ${index + 1}: ${text}`,
                title: text,
                onclick: () => go(place),
            },
            pictureOf(place),
            el("span", { class: "suggestion-number" }, String(index + 1)),
            el("span", { class: "suggestion-guess" }, swatch, label ? formatCertainty(place.certainty) : "new"),
        );
    }

    function show(message = "") {
        setMessage(byId("suggestions-message"), message);
        if (message) [places, active] = [[], null];
        strip.replaceChildren(...places.map(card));
        const keys = new Set(places.map(pictureKey));
        pictures = new Map([...pictures].filter(([key]) => keys.has(key)));
        strip.hidden = !places.length;
        next.disabled = !places.length;
        goWhenThere &&= !message;
        mark();
    }

    function mark() {
        for (const [index, button] of [...strip.children].entries()) {
            button.setAttribute("aria-pressed", String(samePlace(places[index], active)));
        }
        byId("suggestions-answer").textContent = active ? "Choose its class and click it, or press Enter." : "The places that would tell most.";
        layer.show(section.open ? places : [], active);
    }

    function go(place) {
        goWhenThere = false;
        if (!place) return;
        active = place;
        mark();
        strip.querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
        layer.flyTo(place);
        layer.map.getContainer().focus({ preventScroll: true }); // so that Enter answers
    }

    const redraw = debounced(() => {
        if (section.open) show(byId("suggestions-message").textContent);
    }, PAUSE);

    for (const event of ["prediction", "table", "aoi", "segmentations", "clusters", "history"]) state.on(event, soon);
    state.on("progress", grown);
    state.on("statistics", grown);
    state.on("classes", redraw);
    layer.map.on("layeradd", ({ layer: added }) => added instanceof L.TileLayer && redraw());
    section.addEventListener("toggle", () => {
        if (!section.open) asked++;
        mark();
        soon();
    });
    next.addEventListener("click", () => go(following(places, active)));
    show();
    soon();

    return {
        /** Go to the next place; the section unfolds where it was folded. */
        next() {
            if (places.length && section.open) {
                go(following(places, active));
                return;
            }
            goWhenThere = true;
            section.open = true;
            refresh();
        },
        /** Give the active place the active class. @returns {boolean} whether there was one */
        answer() {
            if (!active || !section.open) return false;
            const leaf = layer.leafAt(active);
            if (leaf === null) toast("The clusters there are still on their way; try again in a moment.");
            else commands.click(leaf, [active.row, active.col]);
            return true;
        },
        /** No place is the active one any more. @returns {boolean} whether there was one */
        leave() {
            if (!active) return false;
            active = null;
            mark();
            return true;
        },
    };
}
