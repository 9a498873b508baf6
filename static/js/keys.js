/** Keys of the map page. The help dialog in templates/map/_dialogs.html lists them all. */

const typesText = (target) =>
    target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
    (target.tagName === "INPUT" && !/^(range|checkbox|color|button|submit)$/.test(target.type));

const isPressed = (target) => /^(BUTTON|A|SUMMARY|INPUT|SELECT)$/.test(target.tagName);

/** @param {object} actions what each key does; see below for the names */
export function bindKeys(actions) {
    const plain = {
        "[": () => actions.stepCut(-1),
        "]": () => actions.stepCut(1),
        "?": () => actions.help(),
        b: () => actions.switchTool(),
        c: () => actions.complete(),
        e: (event) => actions.stroke(event.shiftKey),
        m: () => actions.nextMode(),
        f: () => actions.fit(),
        g: () => actions.goto(),
        n: () => actions.nextSuggestion(),
        k: () => actions.split(),
        l: () => actions.draw("lasso"),
        r: () => actions.draw("rectangle"),
        p: () => actions.draw("region"),
        x: () => actions.erase(),
        o: () => actions.note(),
    };

    document.addEventListener("keydown", (event) => {
        if (document.querySelector("dialog[open]")) return;
        const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
        if (key === "Escape") {
            actions.escape();
            return;
        }
        if (typesText(event.target)) return;
        if ((event.ctrlKey || event.metaKey) && !event.altKey && (key === "z" || key === "y")) {
            event.preventDefault();
            if (key === "y" || event.shiftKey) actions.redo();
            else actions.undo();
            return;
        }
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (key === " ") {
            if (isPressed(event.target)) return; // there it presses the button
            event.preventDefault();
            actions.peek(true);
        } else if (key === "Enter") {
            if (!isPressed(event.target) && actions.answerSuggestion()) event.preventDefault();
        } else if (/^[1-9]$/.test(key)) {
            actions.chooseClass(Number(key) - 1);
        } else if (plain[key]) {
            event.preventDefault();
            plain[key](event);
        }
    });
    document.addEventListener("keyup", (event) => {
        if (event.key === " ") actions.peek(false);
    });
}
