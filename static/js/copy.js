/** Copying what a field holds. */

/**
 * @param {HTMLInputElement} input
 * @returns {Promise<boolean>} whether it was copied; where not, it is selected, ready for the keyboard
 */
export async function copyFrom(input) {
    input.focus();
    input.select();
    if (navigator.clipboard) {
        try {
            await navigator.clipboard.writeText(input.value);
            return true;
        } catch {
            // The browser forbids it (a policy, an unfocused window): the old way may still be open.
        }
    }
    // Plain http on another machine: the only way that browsers leave there.
    return document.execCommand("copy");
}

/** A button that copies a field and says so. */
export function bindCopy(button, input) {
    const label = button.textContent;
    let timer = 0;
    button.addEventListener("click", async () => {
        button.textContent = (await copyFrom(input)) ? "Copied" : "Press Ctrl+C";
        clearTimeout(timer);
        timer = setTimeout(() => {
            button.textContent = label;
        }, 2500);
    });
}
