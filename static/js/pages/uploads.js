/** The upload field: drag and drop, several files after one another, progress, cancel. */

import {upload} from "../api.js";
import {h, iconButton} from "./dom.js";
import {formatBytes} from "./format.js";

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

export class UploadField {
    /**
     * @param {{drop: HTMLElement, input: HTMLInputElement, list: HTMLElement}} elements
     * @param {{suffixes: string[], maxUploadBytes: number}} limits
     * @param {(scene: object) => void} onScene told of each scene that was sent
     */
    constructor({drop, input, list}, limits, onScene) {
        this._list = list;
        this._limits = limits;
        this._onScene = onScene;
        this._queue = Promise.resolve();
        this._sending = 0;
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
