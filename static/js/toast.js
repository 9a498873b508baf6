/** Short messages in the corner of the page. */

const defaults = {
    kind: "info", // "info" or "danger"
    seconds: 6, // until it goes by itself; a danger stays twice as long
};

/**
 * @param {string} message
 * @param {Partial<typeof defaults>} [options]
 * @returns {() => void} takes the message away
 */
export function toast(message, options = {}) {
    const {kind, seconds} = {...defaults, ...options};
    const box = document.createElement("div");
    box.className = `toast ${kind}`;
    box.dataset.testid = "toast";
    box.setAttribute("role", kind === "danger" ? "alert" : "status");
    const text = document.createElement("span");
    text.textContent = message;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "toast-close";
    button.dataset.testid = "toast-close";
    button.setAttribute("aria-label", "Dismiss");
    button.textContent = "×";
    box.append(text, button);

    let timer = 0;
    const close = () => {
        clearTimeout(timer);
        box.remove();
    };
    const wait = () => {
        clearTimeout(timer);
        timer = setTimeout(close, seconds * (kind === "danger" ? 2000 : 1000));
    };
    button.addEventListener("click", close);
    // Who reads with the pointer on it, or has it focused, is not hurried.
    box.addEventListener("pointerenter", () => clearTimeout(timer));
    box.addEventListener("pointerleave", wait);
    box.addEventListener("focusin", () => clearTimeout(timer));
    box.addEventListener("focusout", wait);
    document.getElementById("toasts").append(box);
    wait();
    return close;
}

/** Tell an error; anything but our own sentences also goes to the console, with its stack. */
export function toastError(error) {
    if (error.name === "AbortError") return;
    if (error.name !== "ApiError") console.error(error);
    toast(error.message || "Something went wrong in the page. Reload it and try again.", {kind: "danger"});
}
