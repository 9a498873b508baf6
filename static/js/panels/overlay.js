/** Granularity, opacity, peek and what the overlay shows. */
import { cutAtPosition, positionOfCut, stepCut } from "../model/tree.js";
import { MODES } from "../state.js";
import { byId, byTestId, remembered } from "./dom.js";

const LOWEST_CUT = 2;
const STEPS = 1000; // of the slider

/** @returns {{step: (direction: number) => void, nextMode: () => void, peek: (on: boolean) => void}} */
export function overlayPanel(state, layer) {
    const slider = byTestId("granularity");
    const value = byTestId("granularity-value");
    const opacity = byTestId("opacity");
    const modes = [...document.querySelectorAll("[data-mode]")];

    function showCut() {
        const lowest = Math.min(LOWEST_CUT, state.maxCut);
        // Leave the thumb where a hand holds it: several positions mean one cut at the coarse end.
        if (cutAtPosition(slider.value / STEPS, lowest, state.maxCut) !== state.cut) {
            slider.value = Math.round(positionOfCut(state.cut, lowest, state.maxCut) * STEPS);
        }
        value.textContent = state.cut.toLocaleString("en");
        slider.setAttribute("aria-valuetext", `${state.cut} clusters`);
        slider.disabled = !state.tree;
    }

    function showMode() {
        for (const button of modes) button.setAttribute("aria-pressed", String(button.dataset.mode === state.mode));
    }

    function showOpacity() {
        byId("opacity-value").textContent = `${opacity.value}%`;
        layer.setOpacity(opacity.value / 100);
    }

    slider.addEventListener("input", () => {
        state.setCut(cutAtPosition(slider.value / STEPS, Math.min(LOWEST_CUT, state.maxCut), state.maxCut));
    });
    opacity.addEventListener("input", () => {
        showOpacity();
        remembered.set("opacity", Number(opacity.value));
    });
    for (const button of modes) button.addEventListener("click", () => state.setMode(button.dataset.mode));
    state.on("clusters", showCut);
    state.on("state", showCut);
    state.on("mode", showMode);

    const peekButton = byTestId("peek");
    const peek = (on) => {
        layer.setHidden(on);
        peekButton.classList.toggle("pressed", on);
    };
    peekButton.addEventListener("pointerdown", () => peek(true));
    for (const end of ["pointerup", "pointercancel", "pointerleave", "blur"]) {
        peekButton.addEventListener(end, () => peek(false));
    }
    // The button by keyboard: held as long as the key is.
    peekButton.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") peek(true);
    });
    peekButton.addEventListener("keyup", () => peek(false));
    window.addEventListener("blur", () => peek(false));

    opacity.value = remembered.get("opacity", 70);
    showOpacity();
    showCut();
    return {
        step: (direction) => state.setCut(stepCut(state.cut, direction, Math.min(LOWEST_CUT, state.maxCut), state.maxCut)),
        nextMode: () => state.setMode(MODES[(MODES.indexOf(state.mode) + 1) % MODES.length]),
        peek,
    };
}
