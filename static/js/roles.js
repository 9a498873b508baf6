/** What one's role lets one do on the map page: a viewer sees everything live, and the controls that change things rest. */
import { viewerSentence } from "./model/members.js";
import { byTestId, setMessage } from "./panels/dom.js";
import { SharingDialog } from "./panels/sharing.js";

// Test ids of what changes the project; some are made anew with each change of a list.
const CHANGES = [
    "tool-paint", "tool-stroke", "tool-stroke-against", "draw-open", "split-open", "undo", "redo",
    "complete", "threshold",
    "class-add", "class-add-name", "class-name", "class-color", "class-up", "class-down", "class-delete", "class-merge",
    "legend-open", "examples-import", "example-remove", "aoi-draw", "aoi-upload", "aoi-clear",
    "segmentation-new", "segmentation-adopt", "segmentation-delete", "segmentation-offer-adopt", "progress-cancel",
    "version-save", "history-restore",
];
const GONE = "This project is no longer open to you, so it cannot be changed here any more.";
const SELECTOR = CHANGES.map((id) => `[data-testid="${id}"]`).join(",");

/** Keeps the controls of a viewer switched off, whatever switches them on. */
class Resting {
    #titles = new Map(); // element -> its own title
    #observer = new MutationObserver(() => this.#rest());
    #reason = "";

    /** @param {string} reason why nothing can be changed; "" where it can */
    use(reason) {
        if (reason === this.#reason) return;
        const before = this.#reason;
        this.#reason = reason;
        if (reason) {
            this.#rest();
            const what = { subtree: true, childList: true, attributes: true, attributeFilter: ["disabled"] };
            if (!before) this.#observer.observe(document.body, what);
            return;
        }
        this.#observer.disconnect();
        for (const [element, title] of this.#titles) {
            element.disabled = false;
            element.title = title;
        }
        this.#titles.clear();
    }

    #rest() {
        for (const element of this.#titles.keys()) if (!element.isConnected) this.#titles.delete(element);
        for (const element of document.querySelectorAll(SELECTOR)) {
            if (!this.#titles.has(element)) this.#titles.set(element, element.title);
            if (!element.disabled) element.disabled = true;
            if (element.title !== this.#reason) element.title = this.#reason;
        }
    }
}

/**
 * @param {import("./state.js").ProjectState} state
 * @param {import("./sync.js").Sync} sync
 * @param {() => import("./tools.js").Tools | undefined} getTools
 */
export function followRole(state, sync, getTools) {
    const resting = new Resting();
    const why = () => {
        if (sync.socket.status === "gone") return GONE;
        return state.role === "viewer" ? viewerSentence(state.members) : "";
    };
    const before = sync.refusal;
    sync.refusal = (fields) => why() || (before?.(fields) ?? "");

    function show() {
        const reason = why();
        const rested = document.body.classList.contains("is-viewer");
        document.body.classList.toggle("is-viewer", Boolean(reason));
        setMessage(byTestId("viewer-notice"), reason);
        resting.use(reason);
        if (reason && !rested) getTools()?.setTool("pan");
        // The panels know best which of their controls are of use now.
        if (rested && !reason) for (const event of ["history", "classes", "segmentations", "aoi", "completion"]) state.emit(event);
    }
    state.on("members", show);
    sync.socket.on("status", show);
}

/** The button that opens the dialog of who takes part. */
export function sharing(state) {
    let dialog = null;
    const button = byTestId("share-open");
    button.addEventListener("click", () => {
        dialog ??= new SharingDialog(state.user, { onLeave: () => location.assign("/projects/") });
        dialog.open(state.project);
    });
    state.on("members", () => {
        button.disabled = false; // from the first state on
        if (dialog?.isOpen) dialog.refresh();
    });
}
