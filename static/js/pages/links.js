/** Adding an image by its address: a dialog that stays open until the server has looked at the file. */

import {post} from "../api.js";
import {closeOnBackdrop} from "./dialogs.js";

/**
 * @param {HTMLButtonElement} button opens it
 * @param {HTMLDialogElement} dialog
 * @param {(scene: object) => void} onScene told of each scene that was added
 */
export function listenForLinks(button, dialog, onScene) {
    const form = dialog.querySelector("form");
    const {url, name, copy} = form.elements;
    const submit = form.querySelector(".primary");
    const problem = form.querySelector(".field-error");
    closeOnBackdrop(dialog);
    const tell = (text) => {
        problem.textContent = text;
        problem.hidden = !text;
    };
    form.querySelector("[data-close]").addEventListener("click", () => dialog.close(""));
    button.addEventListener("click", () => {
        form.reset();
        tell("");
        dialog.showModal();
        url.focus();
    });
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        tell("");
        submit.disabled = true; // the server looks at the file, which may be far away
        submit.textContent = "Looking…";
        try {
            // Unchecked leaves it to the server, which copies what cannot be read in place.
            const scene = await post("/api/scenes/link", {url: url.value.trim(), name: name.value.trim(), copy_image: copy.checked || null});
            dialog.close("ok");
            onScene(scene);
        } catch (error) {
            tell(error.message);
            url.focus();
        } finally {
            submit.disabled = false;
            submit.textContent = "Add";
        }
    });
}
