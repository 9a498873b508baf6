/** Questions in a <dialog>: modal, closed by Escape, focus back where it was. */

import {h} from "./dom.js";

/**
 * Ask before something that cannot be taken back.
 * @param {{title: string, text: string, items?: string[], action: string}} question items: names that go with it
 * @returns {Promise<boolean>}
 */
export function confirmDialog({title, text, items = [], action}) {
    const heading = h("h2", {text: title, id: "dialog-title"});
    const content = [heading, h("p", {text})];
    if (items.length) content.push(h("ul", {class: "plain"}, ...items.map((item) => h("li", {text: item}))));
    const cancel = h("button", {class: "button", type: "button", "data-testid": "dialog-cancel", text: "Cancel", autofocus: true});
    const ok = h("button", {class: "button danger", value: "ok", "data-testid": "dialog-confirm", text: action});
    return open(content, [cancel, ok], cancel).then((dialog) => dialog.returnValue === "ok");
}

/**
 * Ask for a line of text.
 * @param {{title: string, label: string, value?: string, action: string}} question
 * @returns {Promise<string|null>} the text, trimmed, or null
 */
export function promptDialog({title, label, value = "", action}) {
    const heading = h("h2", {text: title, id: "dialog-title"});
    const input = h("input", {value, maxlength: 200, required: true, autocomplete: "off", autofocus: true, "data-testid": "dialog-input"});
    const field = h("label", {class: "field"}, h("span", {text: label}), input);
    const cancel = h("button", {class: "button", type: "button", "data-testid": "dialog-cancel", text: "Cancel"});
    const ok = h("button", {class: "button primary", value: "ok", "data-testid": "dialog-confirm", text: action});
    const answer = open([heading, field], [cancel, ok], cancel).then((dialog) => {
        const text = input.value.trim();
        return dialog.returnValue === "ok" && text ? text : null;
    });
    input.select();
    return answer;
}

function open(content, buttons, cancel) {
    const form = h("form", {method: "dialog", class: "stack"}, ...content, h("div", {class: "dialog-buttons"}, ...buttons));
    const dialog = h("dialog", {class: "dialog", "aria-labelledby": "dialog-title"}, form);
    cancel.addEventListener("click", () => dialog.close(""));
    closeOnBackdrop(dialog);
    document.body.append(dialog);
    dialog.showModal();
    return new Promise((resolve) => {
        dialog.addEventListener("close", () => {
            dialog.remove();
            resolve(dialog);
        }, {once: true});
    });
}

/** A click beside a dialog closes it, as people expect; one that began inside (a selection) does not. */
export function closeOnBackdrop(dialog) {
    let beganOutside = false;
    dialog.addEventListener("pointerdown", (event) => {
        beganOutside = event.target === dialog;
    });
    dialog.addEventListener("click", (event) => {
        if (beganOutside && event.target === dialog) dialog.close("");
    });
}
