/** The dialog that lists keys and gestures. */
import { byTestId } from "./dom.js";

export function helpPanel() {
    const dialog = byTestId("help-dialog");
    const open = () => dialog.open || dialog.showModal();
    byTestId("help").addEventListener("click", open);
    // A click beside the dialog closes it: the backdrop counts as the dialog itself.
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    return { open };
}
