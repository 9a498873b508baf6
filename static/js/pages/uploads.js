/** The upload field: drag and drop, several files after one another, progress, cancel; large ones in parts, with pause. */

import {upload} from "../api.js";
import {formatTimeLeft} from "../model/place.js";
import {toastError} from "../toast.js";
import {h, iconButton} from "./dom.js";
import {formatBytes} from "./format.js";
import {PartedUpload, fingerprintOf, server} from "./parts.js";

/**
 * Why a file would be refused, before anything is sent; "" where it may go.
 * @param {{name: string, size: number}} file
 * @param {{suffixes: string[], maxUploadBytes: number}} limits
 */
export function refusal(file, {suffixes, maxUploadBytes}) {
    const name = file.name.toLowerCase();
    if (!suffixes.some((suffix) => name.endsWith(suffix))) {
        return `This is not an image we read; send one of ${suffixes.join(", ")}.`;
    }
    if (file.size === 0) return "The file is empty; choose it again.";
    if (file.size > maxUploadBytes) {
        return `The file has ${formatBytes(file.size)}; at most ${formatBytes(maxUploadBytes)} can be sent.`;
    }
    return "";
}

/**
 * How far an upload in parts is, for people.
 * @param {{share: number, file: {size: number}, isPaused: boolean, waiting: string, bytesPerSecond: number, leftS: number|null}} transfer
 */
export function partedState({share, file, isPaused, waiting, bytesPerSecond, leftS}) {
    const far = `${Math.floor(share * 100)} % of ${formatBytes(file.size)}`;
    if (isPaused) return `${far}, paused`;
    if (waiting) return `${far}, ${waiting.toLowerCase()}`;
    if (share >= 1) return "Sent, being put together";
    const speed = bytesPerSecond ? `, ${formatBytes(bytesPerSecond)}/s` : "";
    return leftS === null ? far + speed : `${far}${speed}, ${formatTimeLeft(leftS)}`;
}

export class UploadField {
    /**
     * @param {{drop: HTMLElement, input: HTMLInputElement, list: HTMLElement}} elements
     * @param {{suffixes: string[], maxUploadBytes: number, partsAboveBytes: number, partBytes: number}} limits larger files
     *     than partsAboveBytes are sent in parts of partBytes
     * @param {(scene: object) => void} onScene told of each scene that was sent
     */
    constructor({drop, input, list}, limits, onScene) {
        this._list = list;
        this._limits = limits;
        this._onScene = onScene;
        this._queue = Promise.resolve();
        this._sending = 0;
        this._running = new Set(); // fingerprints of files that are being sent in parts
        this._unfinished = new Map(); // rows of files that were left halfway, by fingerprint
        input.addEventListener("change", () => {
            this.add([...input.files]);
            input.value = ""; // so that the same file can be chosen again
        });
        this._listenForDrops(drop);
        // Leaving would cut off what is being sent.
        addEventListener("beforeunload", (event) => {
            if (this._sending) event.preventDefault();
        });
    }

    /** @param {File[]} files */
    add(files) {
        for (const file of files) this._add(file);
    }

    /** Show what was left halfway, on this page or another: the same file, chosen again, goes on from there. */
    async showUnfinished(choose) {
        for (const file of await server.list()) this._showUnfinished(file, choose);
    }

    _showUnfinished({fingerprint, name, total, received}, choose) {
        if (this._unfinished.has(fingerprint) || this._running.has(fingerprint)) return;
        const row = h("li", {class: "upload unfinished", "data-testid": "upload-unfinished"},
            h("div", {class: "row"},
                h("span", {class: "upload-name", title: name, text: `${name} `}),
                h("span", {class: "upload-state", text: `${Math.floor(received / total * 100)} % of ${formatBytes(total)} is here`})),
            h("progress", {max: 1, value: received / total, "aria-label": `${name}, sent so far`}),
            h("p", {class: "upload-hint"},
                "Choose the same file again and it goes on from there. ",
                h("button", {class: "link", type: "button", "data-testid": "upload-continue", onclick: choose, text: "Choose file"})),
            iconButton("close", `Discard ${name}`, "upload-discard", async () => {
                try {
                    await server.cancel(fingerprint);
                    this._unfinished.delete(fingerprint);
                    row.remove();
                } catch (error) {
                    toastError(error);
                }
            }));
        this._unfinished.set(fingerprint, row);
        this._list.append(row);
    }

    _listenForDrops(drop) {
        // Over the whole page: a file dropped beside the field would otherwise replace the page.
        let depth = 0;
        const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
        const mark = (change) => {
            depth = Math.max(0, depth + change);
            drop.classList.toggle("over", depth > 0);
        };
        addEventListener("dragenter", (event) => hasFiles(event) && mark(1));
        addEventListener("dragleave", (event) => hasFiles(event) && mark(-1));
        addEventListener("dragover", (event) => {
            if (!hasFiles(event)) return;
            event.preventDefault();
            event.dataTransfer.dropEffect = "copy";
        });
        addEventListener("drop", (event) => {
            if (!hasFiles(event)) return;
            event.preventDefault();
            mark(-depth);
            this.add([...event.dataTransfer.files]);
        });
    }

    _add(file) {
        if (file.size > this._limits.partsAboveBytes && !refusal(file, this._limits)) this._addParted(file);
        else this._addWhole(file);
    }

    _addParted(file) {
        const fingerprint = fingerprintOf(file, this._limits.partBytes);
        if (this._running.has(fingerprint)) return; // it is on its way already
        this._running.add(fingerprint);
        this._unfinished.get(fingerprint)?.remove();
        this._unfinished.delete(fingerprint);
        const progress = h("progress", {max: 1, value: 0, "data-testid": "upload-progress", "aria-label": `Sending ${file.name}`});
        const state = h("span", {class: "upload-state", "data-testid": "upload-state", text: "Waiting"});
        const transfer = new PartedUpload(file, this._limits.partBytes, {onChange: () => show()});
        const pause = iconButton("pause", `Pause ${file.name}`, "upload-pause", () => {
            if (transfer.isPaused) transfer.resume();
            else transfer.pause();
        });
        const row = h("li", {class: "upload", "data-testid": "upload-item"},
            h("div", {class: "row"}, h("span", {class: "upload-name", title: file.name, text: `${file.name} `}), state), progress,
            h("div", {class: "upload-buttons"}, pause, iconButton("close", `Cancel ${file.name}`, "upload-cancel", () => {
                row.remove();
                transfer.cancel().catch(toastError);
            })));
        let begun = false;
        const show = () => {
            progress.value = transfer.share;
            state.textContent = begun || transfer.isPaused ? partedState(transfer) : "Waiting";
            pause.querySelector("use").setAttribute("href", pause.querySelector("use").getAttribute("href").replace(/#.*/, transfer.isPaused ? "#play" : "#pause"));
            const label = `${transfer.isPaused ? "Go on with" : "Pause"} ${file.name}`;
            pause.setAttribute("aria-label", label);
            pause.title = label;
        };
        this._list.append(row);
        const send = async () => {
            begun = true;
            show();
            try {
                const scene = await transfer.run();
                row.remove();
                this._onScene(scene);
            } catch (error) {
                if (error.name !== "AbortError") {
                    row.classList.add("failed");
                    state.remove();
                    pause.remove();
                    progress.replaceWith(h("p", {class: "upload-error", role: "alert", "data-testid": "upload-error", text: `${file.name}: ${error.message}`}));
                }
            } finally {
                this._running.delete(fingerprint);
            }
        };
        this._queue = this._queue.then(send);
    }

    _addWhole(file) {
        const controller = new AbortController();
        const progress = h("progress", {max: 1, value: 0, "data-testid": "upload-progress", "aria-label": `Sending ${file.name}`});
        const state = h("span", {class: "upload-state", text: "Waiting"});
        const name = h("span", {class: "upload-name", title: file.name}, file.name, " ");
        const row = h("li", {class: "upload", "data-testid": "upload-item"},
            h("div", {class: "row"}, name, state), progress,
            iconButton("close", `Cancel ${file.name}`, "upload-cancel", () => {
                controller.abort();
                row.remove();
            }));
        this._list.append(row);
        const fail = (message) => {
            row.classList.add("failed");
            state.remove();
            progress.replaceWith(h("p", {class: "upload-error", role: "alert", "data-testid": "upload-error", text: `${file.name}: ${message}`}));
        };
        const problem = refusal(file, this._limits);
        if (problem) {
            fail(problem);
            return;
        }
        const send = async () => {
            if (controller.signal.aborted) return;
            this._sending += 1;
            try {
                const scene = await upload("/api/scenes", file, {
                    signal: controller.signal,
                    onProgress: (share) => {
                        progress.value = share;
                        state.textContent = share < 1 ? `${Math.round(share * 100)} % of ${formatBytes(file.size)}` : "Sent";
                    },
                });
                row.remove();
                this._onScene(scene);
            } catch (error) {
                if (error.name !== "AbortError") fail(error.message);
            } finally {
                this._sending -= 1;
            }
        };
        // One after the other: each gets the whole line, and the first is ready soonest.
        this._queue = this._queue.then(send);
    }
}
