/** Connection, unsaved commands, progress of segmentations, undo and redo, notices. */
import * as api from "../api.js";
import { formatTimeLeft } from "../model/place.js";
import { toast } from "../toast.js";
import { byId, byTestId, setMessage } from "./dom.js";

const CONNECTION = {
    connecting: "Connecting …",
    online: "Connected",
    offline: "Offline, reconnecting …",
    "signed-out": "Signed out",
    gone: "No longer open to you",
};
const SAME_REASON = 2000; // ms in which a reason is told once
const STAGES = {
    reading: "Reading the scene",
    learning: "Learning better features",
    codebook: "Finding the clusters",
    leaves: "Clustering the scene",
    overviews: "Preparing overviews",
};

export const isActive = (segmentation) => segmentation && ["queued", "running"].includes(segmentation.state);

/** Whether it trains on the scene, so that nobody waits for it. */
export const learns = ({ parameters }) => parameters?.mode === "best" && parameters.train_seconds !== 0;

/** "loss 2.1", and with `whole` "balance 93%": how evenly the pseudo-classes share the scene */
function trainingParts({ loss, balance }, whole) {
    const parts = [];
    if (Number.isFinite(loss)) parts.push(`loss ${loss.toFixed(1)}`);
    if (whole && Number.isFinite(balance)) parts.push(`balance ${Math.round(100 * balance)}%`);
    return parts;
}

/** "Clustering the scene · 42% · 3 min left"; with `whole` all that is known of a training */
export function progressText(segmentation, whole = false) {
    if (segmentation.state === "queued" && segmentation.message) return `Waiting. ${segmentation.message}`;
    if (segmentation.state === "queued") return learns(segmentation) ? "Learning better features: waiting" : "Waiting for a free worker";
    const parts = [STAGES[segmentation.stage] ?? "Starting", `${Math.floor(segmentation.progress * 100)}%`];
    const { training } = segmentation;
    if (training) parts.push(...trainingParts(training, whole));
    const left = formatTimeLeft(training?.left_s ?? segmentation.leftS);
    return (left ? [...parts, left] : parts).join(" · ");
}

/** Tells each reason once: after a while offline, many changes may be refused for the same one. */
function refusals() {
    const more = new Map(); // message -> how many beside the first, within a few seconds
    return ({ event }) => {
        const { message, code } = event;
        if (more.has(message)) {
            more.set(message, more.get(message) + 1);
            return;
        }
        toast(message, { kind: code === "nothing" ? "info" : "danger" });
        more.set(message, 0);
        setTimeout(() => {
            const count = more.get(message);
            more.delete(message);
            if (count) toast(`${count === 1 ? "1 more change was" : `${count} more changes were`} refused: ${message}`, { kind: "danger" });
        }, SAME_REASON);
    };
}

export function statusPanel(state, socket, sync, commands) {
    const connection = byTestId("status-connection");
    const saved = byTestId("status-saved");

    function showConnection() {
        connection.dataset.status = socket.status;
        connection.textContent = CONNECTION[socket.status];
    }

    function showSaved() {
        const count = state.pending.length;
        const waiting = count === 1 ? "1 change not saved yet" : `${count} changes not saved yet`;
        saved.textContent = count ? (socket.status === "online" ? "Saving …" : waiting) : "All changes saved";
        saved.dataset.pending = String(count);
        byTestId("undo").disabled = !state.canUndo && !count;
        byTestId("redo").disabled = !state.canRedo;
    }

    function shownSegmentation() {
        if (isActive(state.segmentation)) return state.segmentation;
        const active = state.segmentations.filter(isActive);
        return active.find((one) => !learns(one)) ?? active[0] ?? null; // what somebody waits for first
    }

    function showProgress() {
        const running = shownSegmentation();
        byTestId("progress").hidden = !running;
        if (running) {
            const isAside = running.id !== state.segmentation?.id && learns(running);
            byTestId("progress-text").textContent = progressText(running);
            byTestId("progress").classList.toggle("aside", isAside);
            byId("progress-hint").hidden = !isAside;
            const bar = byId("progress-bar");
            if (running.state === "queued") bar.removeAttribute("value");
            else bar.value = running.progress;
        }
        const failed = !running && (state.segmentation ?? state.segmentations[0]);
        const broken = failed && ["failed", "cancelled"].includes(failed.state) ? failed : null;
        const words = broken?.state === "failed" ? "failed" : "was cancelled";
        setMessage(
            byId("segmentation-failed"),
            broken ? `The segmentation ${words}. ${broken.message} Start another one under “Segmentations”.` : "",
        );
    }

    byTestId("progress-cancel").addEventListener("click", async (event) => {
        const running = shownSegmentation();
        if (!running) return;
        event.target.disabled = true;
        try {
            await api.post(`/api/segmentations/${running.id}/cancel`);
        } catch (error) {
            toast(error.message, { kind: "danger" });
        } finally {
            event.target.disabled = false;
        }
    });
    byTestId("undo").addEventListener("click", () => commands.undo());
    byTestId("redo").addEventListener("click", () => commands.redo());

    sync.on("rejected", refusals());
    sync.on("applied", ({ event, command }) => {
        if (command && event.message) toast(event.message);
    });
    socket.on("status", () => {
        showConnection();
        showSaved();
    });
    state.on("history", showSaved);
    state.on("segmentations", showProgress);
    state.on("progress", showProgress);
    state.on("project", () => {
        byId("project-name").textContent = state.project.name;
    });
    window.addEventListener("beforeunload", (event) => {
        if (!state.pending.length) return;
        event.preventDefault();
        event.returnValue = ""; // older browsers ask only for this
    });
    showConnection();
    showSaved();
}
