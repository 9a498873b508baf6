/** Small helpers for the panels. */

export const byId = (id) => document.getElementById(id);

export const byTestId = (id, root = document) => root.querySelector(`[data-testid="${id}"]`);

/**
 * Make an element. Properties starting with "data-" or "aria-" and `class`, `for`, `role` become attributes, functions
 * starting with "on" listeners, all else properties.
 */
export function el(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
        if (value === undefined || value === null) continue;
        if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (/^(data-|aria-|class$|for$|role$)/.test(name)) element.setAttribute(name, value);
        else element[name] = value;
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
}

export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

/** Show a sentence in an element made for it; an empty one hides it. */
export function setMessage(element, message) {
    element.textContent = message;
    element.hidden = !message;
}

/** Ask before something is lost. @returns {Promise<boolean>} */
export function confirmDialog(title, text, action = "Delete") {
    const dialog = byId("confirm-dialog");
    byId("confirm-title").textContent = title;
    byId("confirm-text").textContent = text;
    byTestId("dialog-confirm", dialog).textContent = action;
    dialog.returnValue = "cancel";
    dialog.showModal();
    byTestId("dialog-cancel", dialog).focus();
    return new Promise((resolve) => {
        dialog.addEventListener("close", () => resolve(dialog.returnValue === "confirm"), { once: true });
    });
}

/** Run `action` at most once each `pause` ms, and once more at the end if it was asked for meanwhile. */
export function throttled(action, pause) {
    let timer = 0;
    let again = false;
    return function run() {
        if (timer) {
            again = true;
            return;
        }
        action();
        timer = setTimeout(() => {
            timer = 0;
            if (again) {
                again = false;
                run();
            }
        }, pause);
    };
}

/** Run `action` once nothing has asked for it during `pause` ms. */
export function debounced(action, pause) {
    let timer = 0;
    return (...args) => {
        clearTimeout(timer);
        timer = setTimeout(() => action(...args), pause);
    };
}

/** A setting of this browser; private windows may refuse to keep it. */
export const remembered = {
    get(name, fallback) {
        try {
            return JSON.parse(localStorage.getItem(`clusternet:${name}`)) ?? fallback;
        } catch {
            return fallback; // storage switched off, or written by something else: the default serves
        }
    },
    set(name, value) {
        try {
            localStorage.setItem(`clusternet:${name}`, JSON.stringify(value));
        } catch {
            // Storage is full or switched off: the setting lasts until the page is closed.
        }
    },
};
