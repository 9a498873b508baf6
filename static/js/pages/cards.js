/** Cards of projects and scenes. */

import {h, icon, iconButton} from "./dom.js";
import {formatAgo, formatBytes, formatScene} from "./format.js";

/**
 * @param {object} project as in GET /api/projects
 * @param {object|undefined} scene its scene
 * @param {string} me name of whoever looks at it
 * @param {{rename: Function, duplicate: Function, remove: Function}} actions
 */
export function projectCard(project, scene, me, actions) {
    const isOwner = project.role === "owner";
    const by = project.updated_by ? ` by ${project.updated_by}` : "";
    const edited = h("time", {
        datetime: project.updated_at, title: new Date(project.updated_at).toLocaleString(),
        text: `Edited ${formatAgo(project.updated_at)}${by}`,
    });
    return h("li", {class: "card", "data-testid": "project-card", "data-project": project.id},
        h("a", {class: "thumb", href: project.url, tabindex: -1, "aria-hidden": "true"}, thumbnail(scene)),
        h("div", {class: "card-body"},
            h("a", {class: "card-title", href: project.url, "data-testid": "project-open", text: project.name}),
            h("p", {class: "card-facts"}, edited),
            h("p", {class: "card-facts", text: scene ? scene.name : ""}),
            sharedFact(project, me)),
        h("div", {class: "card-actions"},
            h("a", {class: "button small", href: project.url, tabindex: -1}, icon("map"), "Open"),
            h("span", {class: "grow"}),
            iconButton("share", `Share ${project.name}`, "project-share", () => actions.share(project)),
            isOwner ? iconButton("pencil", `Rename ${project.name}`, "project-rename", () => actions.rename(project)) : null,
            iconButton("copy", `Duplicate ${project.name}`, "project-duplicate", () => actions.duplicate(project)),
            isOwner ? iconButton("trash", `Delete ${project.name}`, "project-delete", () => actions.remove(project), "danger-hover") : null));
}

/** Whose project it is and what one may do there, where others take part. */
function sharedFact({owner, role, members}, me) {
    if (members < 2) return null;
    const whose = owner.name === me ? "Yours" : `Shared by ${owner.name}`;
    const part = owner.name === me ? "" : `, you are ${role === "viewer" ? "a viewer" : `an ${role}`}`;
    return h("p", {class: "card-facts", "data-testid": "project-shared", text: `${whose}${part} · ${members} members`});
}

/**
 * @param {object} scene as in GET /api/scenes
 * @param {{open: Function, rename: Function, remove: Function}} actions
 */
export function sceneCard(scene, me, actions) {
    const isOwn = scene.owner.name === me;
    const ready = scene.state === "ready";
    const body = h("div", {class: "card-body"}, h("span", {class: "card-title", text: scene.name}));
    if (ready) {
        body.append(
            h("p", {class: "card-facts", text: formatScene(scene.info)}),
            h("p", {class: "card-facts", text: `${formatBytes(scene.size_bytes)} · added ${formatAgo(scene.created_at)}`}));
        if (scene.message) body.append(h("p", {class: "card-facts", text: scene.message}));
        if (!isOwn) body.append(h("p", {class: "card-facts", "data-testid": "scene-owner", text: `Belongs to ${scene.owner.name}`}));
        if (scene.attribution) body.append(h("p", {class: "card-facts", text: scene.attribution}));
    } else if (scene.state === "failed") {
        body.append(h("p", {class: "card-message", role: "alert", "data-testid": "upload-error", text: scene.message}));
    } else {
        body.append(
            h("progress", {max: 1, value: scene.progress, "aria-label": `Import of ${scene.name}`}),
            h("p", {class: "card-facts", text: scene.message || "Reading the image and making overviews"}));
    }
    return h("li", {class: "card", "data-testid": "scene-card", "data-scene": scene.id},
        h("div", {class: "thumb"}, thumbnail(scene), stateBadge(scene)),
        body,
        h("div", {class: "card-actions"},
            ready ? h("button", {
                class: "button small", type: "button", "data-testid": "scene-open", onclick: () => actions.open(scene),
                "aria-label": `Start a project on ${scene.name}`,
            }, icon("plus"), "Start a project") : null,
            h("span", {class: "grow"}),
            isOwn ? iconButton("pencil", `Rename ${scene.name}`, "scene-rename", () => actions.rename(scene)) : null,
            isOwn ? iconButton("trash", `Delete ${scene.name}`, "scene-delete", () => actions.remove(scene), "danger-hover") : null));
}

function stateBadge(scene) {
    const [kind, text] = {
        ready: ["", "Ready"],
        importing: ["busy", `Importing ${Math.round(scene.progress * 100)} %`],
        failed: ["danger", "Failed"],
    }[scene.state];
    return h("span", {class: `badge ${kind}`, "data-testid": "scene-state", "data-state": scene.state, text});
}

function thumbnail(scene) {
    if (scene?.state !== "ready") return icon(scene?.state === "failed" ? "alert" : "image");
    const image = h("img", {src: `/api/scenes/${scene.id}/thumbnail`, alt: "", loading: "lazy", decoding: "async"});
    image.addEventListener("error", () => image.replaceWith(icon("image")), {once: true});
    return image;
}
