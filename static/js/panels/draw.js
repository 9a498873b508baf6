/** Drawing by hand: the bar with its shapes and the eraser, and how far the server is with a large one. */
import { SHAPES } from "../drawing.js";
import { byId, byTestId, setMessage } from "./dom.js";

const HINTS = {
    lasso: ["Draw around the pixels that get the class.", "Draw around what is to be erased."],
    rectangle: ["Drag over the pixels that get the class.", "Drag over what is to be erased."],
    region: ["Click a cluster: only the connected patch gets the class.", "Click a cluster: what was drawn in its patch goes."],
};
const PATIENCE = 600; // ms after which the page says that it waits

/**
 * @param {import("../state.js").ProjectState} state
 * @param {import("../tools.js").Tools} tools
 * @param {import("../drawing.js").Drawing} drawing
 * @param {import("../sync.js").Sync} sync
 * @returns {{toggle: (shape: string) => void, toggleErase: () => void, close: () => boolean}}
 */
export function drawPanel(state, tools, drawing, sync) {
    const panel = byId("draw-panel");
    const openButton = byTestId("draw-open");
    const buttons = SHAPES.map((shape) => [shape, byTestId(`draw-${shape}`)]);
    const erase = byTestId("draw-erase");
    let lastShape = SHAPES[0];
    let timer = 0;

    const toggle = (shape) => tools.setTool(tools.draws === shape ? "pan" : shape);
    const close = () => {
        if (!tools.draws) return false;
        tools.setTool("pan");
        return true;
    };

    function show() {
        const { draws } = tools;
        lastShape = draws ?? lastShape;
        panel.hidden = !draws;
        openButton.setAttribute("aria-pressed", String(Boolean(draws)));
        for (const [shape, button] of buttons) button.setAttribute("aria-pressed", String(shape === draws));
        erase.setAttribute("aria-pressed", String(drawing.erases));
        byId("draw-hint").textContent = draws ? HINTS[draws][drawing.erases ? 1 : 0] : "";
        tools.container.classList.toggle("erasing", Boolean(draws) && drawing.erases);
    }

    /** Only what takes a while is worth a word. */
    function showWaiting(text = "") {
        clearTimeout(timer);
        setMessage(byId("draw-notice"), text);
    }

    function wait() {
        const waits = state.pending.some(({ type }) => type === "override.add");
        if (!waits) showWaiting();
        else if (byId("draw-notice").hidden) {
            clearTimeout(timer);
            timer = setTimeout(() => state.pending.some(({ type }) => type === "override.add") && showWaiting("Drawing …"), PATIENCE);
        }
    }

    openButton.addEventListener("click", () => toggle(tools.draws ?? lastShape));
    for (const [shape, button] of buttons) button.addEventListener("click", () => tools.setTool(shape));
    erase.addEventListener("click", () => drawing.setErases(!drawing.erases));
    byTestId("draw-close").addEventListener("click", close);
    tools.on("tool", show);
    drawing.on("erase", show);
    state.on("history", wait);
    sync.on("override.progress", ({ client_id: id, progress }) => {
        const mine = state.pending.some(({ client_id: own }) => own === id);
        if (mine) showWaiting(`Drawing … ${Math.round(progress * 100)}%`);
    });
    show();
    return {
        toggle,
        close,
        toggleErase: () => {
            if (!tools.draws) tools.setTool(lastShape);
            drawing.setErases(!drawing.erases);
        },
    };
}
