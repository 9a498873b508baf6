/** The scene's segmentations: start, follow, adopt, cancel, delete. */
import * as api from "../api.js";
import { bandLabel, dataBands } from "../model/bands.js";
import { toast } from "../toast.js";
import { byId, byTestId, confirmDialog, el, icon, setMessage } from "./dom.js";
import { networksField } from "./networks.js";
import { isActive, progressText } from "./status.js";

const STATES = { queued: "waiting", running: "running", complete: "complete", failed: "failed", cancelled: "cancelled" };

function describe(segmentation) {
    if (isActive(segmentation)) return progressText(segmentation, true);
    if (segmentation.state !== "complete") return `${STATES[segmentation.state]}. ${segmentation.message}`.trim();
    const { parameters, n_leaves: nLeaves, device, learned } = segmentation;
    const parts = [`${nLeaves.toLocaleString("en")} leaves`];
    if (learned) parts.unshift(learned.steps ? `learned, ${learned.steps.toLocaleString("en")} steps` : parameters.network_name || "general network");
    if (parameters.bands) parts.push(`bands ${parameters.bands.join(", ")}`);
    if (parameters.superpixel_px) parts.push(`${parameters.superpixel_px} px`);
    if (parameters.aoi) parts.push("part of the scene");
    if (device) parts.push(device === "cuda" ? "GPU" : device.toUpperCase());
    return [parts.join(" · "), segmentation.message].filter(Boolean).join(". ");
}

/** The job that made it, with its log. */
const logLink = ({ id }) => el("a", { href: `/jobs/?segmentation=${id}`, class: "segmentation-log", "data-testid": "segmentation-log", "aria-label": "Log of the segmentation" }, "Log");

function progressBar({ state, progress }) {
    const bar = el("progress", { max: 1, "aria-label": "Progress of the segmentation", "data-testid": "segmentation-progress" });
    bar.value = state === "queued" ? 0 : progress;
    return bar;
}

const positive = (input) => (input.value === "" ? null : Number(input.value));

const chosenBands = (dialog) => [...dialog.querySelectorAll("input[name=band]:checked")].map((box) => Number(box.value));

/** What an offer says. */
function offerText(segmentation) {
    const kept = "Your classes, clicks and examples are kept.";
    if (segmentation?.learned?.steps) return `Better features of this scene were learned. ${kept}`;
    return `A new segmentation is ready. ${kept}`;
}

/** What the dialog asks for, checked. */
function parametersOf(dialog, bands, aoi, learning) {
    const chosen = chosenBands(dialog);
    if (!chosen.length) throw new Error("No band is chosen; tick at least one.");
    const [superpixel, leaves] = [byTestId("segmentation-superpixel"), byTestId("segmentation-leaves")];
    for (const [input, name] of [[superpixel, "superpixel size"], [leaves, "number of leaves"]]) {
        if (!input.checkValidity()) {
            throw new Error(`The ${name} must be a whole number from ${input.min} to ${input.max}, or empty for automatic.`);
        }
    }
    return {
        bands: chosen.length === bands.length ? null : chosen,
        superpixel_px: positive(superpixel),
        n_leaves: positive(leaves),
        seed: 0,
        aoi: byId("segmentation-area").checked ? aoi : null,
        ...learning,
    };
}

export function segmentationsPanel(state, commands) {
    const list = byId("segmentation-list");
    const dialog = byTestId("segmentation-dialog");
    const offer = byTestId("segmentation-offer");
    const features = networksField(state, byId("segmentation-form"), () => chosenBands(dialog));
    let declined = null; // id of an offer put off until the page is loaded again

    async function attempt(action) {
        try {
            await action();
        } catch (error) {
            toast(error.message, { kind: "danger" });
        }
    }

    async function remove(segmentation) {
        const adopted = segmentation.id === state.segmentation?.id;
        const text = adopted
            ? "This project shows it now; its clusters and assignments disappear from the map."
            : "Its clusters are deleted from the disk. This cannot be undone.";
        if (!(await confirmDialog("Delete this segmentation?", text))) return;
        await attempt(() => api.del(`/api/segmentations/${segmentation.id}${adopted ? "?force=1" : ""}`));
    }

    async function retry(segmentation) {
        const { jobs } = await api.get(`/api/jobs?segmentation=${segmentation.id}`);
        if (!jobs.length) throw new Error("Nothing is known of how it was made; start a new segmentation instead.");
        await api.post(`/api/jobs/${jobs[0].id}/retry`);
    }

    function buttons(segmentation) {
        const small = (testId, text, onclick, extra = "") =>
            el("button", { type: "button", class: `button small ${extra}`, "data-testid": testId, onclick }, text);
        if (isActive(segmentation)) {
            const cancel = () => attempt(() => api.post(`/api/segmentations/${segmentation.id}/cancel`));
            return [small("segmentation-cancel", "Cancel", cancel, "quiet")];
        }
        const trash = el("button", { type: "button", class: "row-tool", "data-testid": "segmentation-delete", title: "Delete", "aria-label": "Delete the segmentation", onclick: () => remove(segmentation) }, icon("trash"));
        if (segmentation.state !== "complete") {
            return [small("segmentation-retry", "Try again", () => attempt(() => retry(segmentation))), trash];
        }
        if (segmentation.id === state.segmentation?.id) return [trash];
        return [small("segmentation-adopt", "Adopt", () => commands.adopt(segmentation.id)), trash];
    }

    function row(segmentation) {
        const adopted = segmentation.id === state.segmentation?.id;
        const made = new Date(segmentation.created_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
        return el(
            "li",
            { class: `segmentation-row${adopted ? " adopted" : ""}`, "data-testid": "segmentation-row", "data-segmentation": segmentation.id, "data-state": segmentation.state },
            el(
                "div",
                { class: "segmentation-facts" },
                el("div", { class: "segmentation-title" }, made, adopted ? el("span", { class: "badge" }, "shown") : null),
                el("div", { class: "hint" }, describe(segmentation), " · ", logLink(segmentation)),
                isActive(segmentation) ? progressBar(segmentation) : null,
            ),
            el("div", { class: "segmentation-tools" }, ...buttons(segmentation)),
        );
    }

    function show() {
        // Progress comes several times a second: leave a row alone that somebody is about to press.
        const rows = state.segmentations.map(row);
        rows.forEach((fresh, index) => {
            const old = list.children[index];
            if (!old) list.append(fresh);
            else if (old.outerHTML !== fresh.outerHTML) {
                const sameButtons = old.dataset.segmentation === fresh.dataset.segmentation && old.dataset.state === fresh.dataset.state && old.className === fresh.className;
                if (sameButtons) old.querySelector(".segmentation-facts").replaceWith(fresh.querySelector(".segmentation-facts"));
                else old.replaceWith(fresh);
            }
        });
        while (list.children.length > rows.length) list.lastChild.remove();
        showOffer();
    }

    function showOffer() {
        const offered = state.offered?.id ?? state.offered;
        offer.hidden = !offered || offered === declined;
        offer.dataset.segmentation = offered ?? "";
        byId("offer-text").textContent = offerText(state.segmentations.find(({ id }) => id === offered));
    }

    function openDialog() {
        const { info } = state.scene;
        byId("segmentation-bands").replaceChildren(
            ...dataBands(info).map((band) =>
                el("label", { class: "check" }, el("input", { type: "checkbox", name: "band", value: String(band), checked: true }), bandLabel(info, band)),
            ),
        );
        byId("segmentation-area-field").hidden = !state.aoi;
        const device = state.segmentations.find((one) => one.device)?.device;
        byId("segmentation-device").textContent = device
            ? `It runs on the server's ${device === "cuda" ? "GPU" : "CPU"}, as the last one did.`
            : "It runs on the server: on its GPU where there is one, else on the CPU.";
        setMessage(byId("segmentation-error"), "");
        features.open();
        dialog.showModal();
    }

    byTestId("segmentation-new").addEventListener("click", openDialog);
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    byId("segmentation-form").addEventListener("submit", async (event) => {
        event.preventDefault();
        const submit = byTestId("segmentation-submit");
        submit.disabled = true;
        try {
            const parameters = parametersOf(dialog, dataBands(state.scene.info), state.aoi, features.parameters());
            await api.post(`/api/scenes/${state.scene.id}/segmentations`, parameters);
            dialog.close();
        } catch (error) {
            setMessage(byId("segmentation-error"), error.message);
        } finally {
            submit.disabled = false;
        }
    });
    byId("offer-adopt").addEventListener("click", () => commands.adopt(state.offered?.id ?? state.offered));
    byId("offer-later").addEventListener("click", () => {
        declined = state.offered?.id ?? state.offered;
        showOffer();
    });
    byId("download").addEventListener("click", (event) => {
        if (state.segmentation?.state === "complete") return;
        event.preventDefault();
        toast("The download is ready as soon as the segmentation is complete.");
    });
    state.on("segmentations", show);
    state.on("progress", show);
}
