/** Building elements without HTML strings, so that a file's name can never become markup. */

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes] functions become listeners ("onclick"), true an empty attribute,
 *     null, undefined and false none, "text" the text content
 * @param {...(Node|string|null)} children
 */
export function h(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (value === null || value === undefined || value === false) continue;
        if (typeof value === "function") element.addEventListener(name.slice(2), value);
        else if (name === "text") element.textContent = value;
        else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} name of a symbol in static/img/icons.svg */
export function icon(name) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS(SVG, "use");
    use.setAttribute("href", `/static/img/icons.svg#${name}`);
    svg.append(use);
    return svg;
}

/** A small button that shows an icon and says its name. */
export function iconButton(name, label, testid, onclick, extra = "") {
    return h("button", {
        type: "button", class: `button quiet icon-only ${extra}`, title: label, "aria-label": label,
        "data-testid": testid, onclick,
    }, icon(name));
}
