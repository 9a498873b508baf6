/** The download of a large map: prepared by a job, then there for a day. Small ones are sent at once, by a plain link. */
import * as api from "../api.js";
import { ACTIVE, courseText } from "../model/jobs.js";
import { formatBytes } from "../pages/format.js";
import { toast } from "../toast.js";
import { byId, el, icon } from "./dom.js";

const POLL_MS = 2000; // while it is prepared and the tab is seen

/**
 * @param {import("../state.js").ProjectState} state with its scene
 * @param {{projectId: number, prepareFromPx?: number}} config pixels of a scene from which downloads are prepared
 */
export function downloadPanel(state, { projectId, prepareFromPx = Infinity }) {
    const box = byId("prepared");
    let job = null; // the newest download of the project
    let polling = 0;

    const isActive = () => job && ACTIVE.includes(job.state);

    async function look() {
        clearTimeout(polling);
        try {
            [job = null] = await api.get(`/api/projects/${projectId}/exports`);
        } catch (error) {
            if (error.status === 401 || error.status === 404) return; // the page says so elsewhere
        }
        show();
        if (isActive() && !document.hidden) polling = setTimeout(look, POLL_MS);
    }

    async function attempt(event, work) {
        event.target.disabled = true;
        try {
            await work();
        } catch (error) {
            toast(error.message, { kind: "danger" });
        }
        await look();
    }

    const prepare = (event) => attempt(event, () => api.post(`/api/projects/${projectId}/exports`));
    const cancel = (event) => attempt(event, () => api.post(`/api/jobs/${job.id}/cancel`));

    function prepareButton(text, extra) {
        return el("button", { type: "button", class: `button ${extra}`, "data-testid": "download-prepare", onclick: prepare }, text);
    }

    function content() {
        if (isActive()) {
            const bar = el("progress", { max: 1, "aria-label": "Progress of the download" });
            bar.value = job.state === "running" ? job.progress : 0;
            const stop = job.can_cancel
                ? el("button", { type: "button", class: "button quiet small", "data-testid": "download-cancel", onclick: cancel }, "Cancel")
                : null;
            const text = el("span", { class: "hint", "data-testid": "download-course" }, `Preparing the download. ${courseText(job)}`);
            return [el("div", { class: "prepared-row" }, text, stop), bar];
        }
        if (job?.file) {
            const made = new Date(job.finished_at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
            return [
                el("a", { class: "button primary", href: job.file.url, download: job.file.name, "data-testid": "download-file" }, icon("download"), `Download GeoJSON (${formatBytes(job.file.size_bytes)})`),
                el("div", { class: "prepared-row" }, el("span", { class: "hint" }, `The map as of ${made}; kept for a day.`), prepareButton("Prepare anew", "quiet small")),
            ];
        }
        const failed = job?.state === "failed" ? el("p", { class: "hint danger", role: "alert" }, `The download failed. ${job.message}`) : null;
        return [prepareButton("Prepare the download", "primary"), failed ?? el("p", { class: "hint" }, "The map is large: the server writes the file first, and keeps it for a day.")];
    }

    let shown = "";
    function show() {
        const digest = JSON.stringify(job);
        if (digest === shown) return;
        shown = digest;
        box.replaceChildren(...content().filter(Boolean));
    }

    const { width, height } = state.scene.info;
    if (width * height < prepareFromPx) return;
    byId("download").hidden = true;
    box.hidden = false;
    show();
    look();
    document.addEventListener("visibilitychange", () => {
        if (!document.hidden) look();
    });
}
