/** The projects page: wires lists, dialogs and uploads to REST. */

import {del, get, patch, post} from "../api.js";
import {SharingDialog} from "../panels/sharing.js";
import {toast, toastError} from "../toast.js";
import {projectCard, sceneCard} from "./cards.js";
import {closeOnBackdrop, confirmDialog, promptDialog} from "./dialogs.js";
import {h} from "./dom.js";
import {formatBytes} from "./format.js";
import {listenForLinks} from "./links.js";
import {UploadField} from "./uploads.js";

const POLL_MS = 1000; // while a scene is being imported

const config = JSON.parse(document.getElementById("page-config").textContent);
const byId = (id) => document.getElementById(id);
const lists = {projects: byId("project-list"), scenes: byId("scene-list")};
const newProject = byId("project-new");
const newDialog = byId("dialog-new");
let projects = [];
let scenes = [];
let polling = 0;

async function refresh() {
    const [newProjects, newScenes, storage] = await Promise.all([get("/api/projects"), get("/api/scenes"), get("/api/storage")]);
    projects = newProjects;
    scenes = newScenes;
    show(storage);
    clearTimeout(polling);
    if (scenes.some((scene) => scene.state === "importing")) polling = setTimeout(poll, POLL_MS);
}

async function poll() {
    const before = new Map(scenes.map((scene) => [scene.id, scene.state]));
    try {
        await refresh();
    } catch (error) {
        // The server may be restarting: say it once, go on asking more slowly.
        if (error.status === 401) toastError(error);
        else polling = setTimeout(poll, 5 * POLL_MS);
        return;
    }
    for (const scene of scenes) {
        if (before.get(scene.id) !== "importing") continue;
        if (scene.state === "ready") toast(`${scene.name} is ready.`);
        if (scene.state === "failed") toast(`${scene.name}: ${scene.message}`, {kind: "danger"});
    }
}

function show(storage) {
    const scenesById = new Map(scenes.map((scene) => [scene.id, scene]));
    replaceCards(lists.projects, projects, "project", (project) => projectCard(project, scenesById.get(project.scene), config.user, projectActions));
    replaceCards(lists.scenes, scenes, "scene", (scene) => sceneCard(scene, config.user, sceneActions));
    byId("projects-empty").hidden = projects.length > 0;
    newProject.disabled = !scenes.some((scene) => scene.state === "ready");
    newProject.title = newProject.disabled ? "Bring a scene first" : "";
    byId("storage").hidden = false;
    byId("storage-text").textContent = `${formatBytes(storage.used_bytes)} of ${formatBytes(storage.quota_bytes)} used`;
    byId("storage-bar").value = storage.used_bytes / storage.quota_bytes;
}

/** Only cards that changed are made anew, so that focus and pictures stay where they are. */
function replaceCards(list, rows, key, make) {
    const old = new Map([...list.children].filter((card) => card.dataset[key]).map((card) => [card.dataset[key], card]));
    const cards = rows.map((row) => {
        const digest = JSON.stringify(row) + (key === "project" ? JSON.stringify(scenes.find((scene) => scene.id === row.scene)) : "");
        const kept = old.get(String(row.id));
        if (kept?.cardDigest === digest) return kept;
        const card = make(row);
        card.cardDigest = digest;
        if (kept?.contains(document.activeElement)) {
            const testid = document.activeElement.dataset.testid;
            queueMicrotask(() => card.querySelector(`[data-testid="${testid}"]`)?.focus());
        }
        return card;
    });
    const same = cards.length === list.children.length && cards.every((card, i) => card === list.children[i]);
    if (!same) list.replaceChildren(...cards);
    list.setAttribute("aria-busy", "false");
}

/** Do something, show what came of it, tell what went wrong. */
async function act(work) {
    try {
        await work();
        await refresh();
    } catch (error) {
        toastError(error);
    }
}

async function rename(kind, row) {
    const name = await promptDialog({title: `Rename ${kind}`, label: "Name", value: row.name, action: "Rename"});
    if (name && name !== row.name) await act(() => patch(`/api/${kind}s/${row.id}`, {name}));
}

async function openScene(scene, name = scene.name) {
    try {
        const project = await post("/api/projects", {scene: scene.id, name});
        location.assign(project.url);
    } catch (error) {
        toastError(error);
    }
}

const refreshOrTell = () => refresh().catch(toastError);
const sharing = new SharingDialog(config.user, {onChange: refreshOrTell, onLeave: refreshOrTell});

const projectActions = {
    share: (project) => sharing.open(project),
    rename: (project) => rename("project", project),
    duplicate: (project) => act(async () => {
        const copy = await post(`/api/projects/${project.id}/duplicate`);
        toast(`Made ${copy.name}.`);
    }),
    remove: async (project) => {
        const sure = await confirmDialog({
            title: `Delete ${project.name}?`,
            text: "Its classes and edits are lost for good. The scene stays.",
            action: "Delete project",
        });
        if (sure) await act(() => del(`/api/projects/${project.id}`));
    },
};

const sceneActions = {
    open: openScene,
    rename: (scene) => rename("scene", scene),
    remove: async (scene) => {
        const users = projects.filter((project) => project.scene === scene.id).map((project) => project.name);
        const sure = scene.state === "failed" || await confirmDialog({
            title: `Delete ${scene.name}?`,
            text: users.length
                ? `The image, its segmentations and ${users.length === 1 ? "this project" : "these projects"} are lost for good, and those of other people on it:`
                : "The image and its segmentations are lost for good, and projects that other people may have on it.",
            items: users,
            action: users.length ? "Delete all" : "Delete scene",
        });
        if (sure) await act(() => del(`/api/scenes/${scene.id}`));
    },
};

function listenForNewProject() {
    const form = newDialog.querySelector("form");
    const {scene: sceneSelect, name: nameInput} = form.elements;
    closeOnBackdrop(newDialog);
    newDialog.querySelector("[data-close]").addEventListener("click", () => newDialog.close(""));
    newProject.addEventListener("click", () => {
        const ready = scenes.filter((scene) => scene.state === "ready");
        sceneSelect.replaceChildren(...ready.map((scene) => h("option", {value: scene.id, text: scene.name})));
        nameInput.value = ready[0].name;
        newDialog.returnValue = "";
        newDialog.showModal();
        nameInput.focus();
        nameInput.select();
    });
    let named = false; // a name that was typed stays when another scene is chosen
    nameInput.addEventListener("input", () => {
        named = true;
    });
    sceneSelect.addEventListener("change", () => {
        if (!named) nameInput.value = sceneSelect.selectedOptions[0].textContent;
    });
    newDialog.addEventListener("close", () => {
        named = false;
        if (newDialog.returnValue !== "ok") return;
        const scene = scenes.find((candidate) => candidate.id === Number(sceneSelect.value));
        if (scene) openScene(scene, nameInput.value.trim() || scene.name);
    });
}

function start() {
    for (const list of Object.values(lists)) list.append(h("li", {class: "card skeleton", "aria-hidden": "true"}));
    listenForNewProject();
    const uploads = new UploadField(
        {drop: byId("upload-drop"), input: byId("upload-input"), list: byId("upload-list")},
        config,
        () => refresh().catch(toastError),
    );
    uploads.showUnfinished(() => byId("upload-input").click()).catch(toastError);
    if (config.canLink) listenForLinks(byId("scene-link"), byId("dialog-link"), refreshOrTell);
    refresh().catch((error) => {
        for (const list of Object.values(lists)) list.replaceChildren();
        toastError(error);
    });
    // Coming back from the map, or from another tab, the dates and names may have changed.
    addEventListener("pageshow", (event) => event.persisted && refresh().catch(toastError));
    addEventListener("focus", () => refresh().catch(toastError));
}

start();
