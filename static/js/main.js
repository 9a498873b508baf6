/** The map page: makes the parts and joins them. */
import * as api from "./api.js";
import { BlockLoader } from "./blocks.js";
import { Commands } from "./commands.js";
import { watchConnection } from "./connection.js";
import { KeptCommands } from "./kept.js";
import { bindKeys } from "./keys.js";
import { Comments } from "./comments.js";
import { Examples } from "./examples.js";
import { CommentLayer } from "./layers/comments.js";
import { Places } from "./layers/places.js";
import { watchLosses } from "./losses.js";
import { commentsPanel } from "./panels/comments.js";
import { comparePanel } from "./panels/compare.js";
import { historyPanel, viewingBanner } from "./panels/history.js";
import { Versions, versionsPanel } from "./panels/versions.js";
import { RecentEdits } from "./recentEdits.js";
import { Viewing } from "./viewing.js";
import { Follow } from "./follow.js";
import { AreaLayer } from "./layers/area.js";
import { ClusterLayer } from "./layers/ClusterLayer.js";
import { CursorLayer } from "./layers/cursors.js";
import { ExampleLayer } from "./layers/examples.js";
import { createMap, Imagery } from "./layers/imagery.js";
import { showPointed } from "./layers/pointed.js";
import { SuggestionLayer } from "./layers/suggestions.js";
import { parseStatistics } from "./model/areas.js";
import { certaintyTexels } from "./model/completion.js";
import { Drawing } from "./drawing.js";
import { overrideTexels } from "./model/overrides.js";
import { OverrideLoader } from "./overrides.js";
import { drawPanel } from "./panels/draw.js";
import { hoverDrawnPanel } from "./panels/hoverDrawn.js";
import { colorTexels, outlineKeys } from "./model/lookup.js";
import { outdatedNumbers, tintParts } from "./model/splits.js";
import { parseTree } from "./model/tree.js";
import { areaPanel } from "./panels/area.js";
import { classesPanel } from "./panels/classes.js";
import { classFilter } from "./panels/classFilter.js";
import { completionPanel } from "./panels/completion.js";
import { byId, byTestId, setMessage, throttled } from "./panels/dom.js";
import { examplesOnMap, examplesPanel } from "./panels/examples.js";
import { helpPanel } from "./panels/help.js";
import { hoverPanel } from "./panels/hover.js";
import { hoverCertaintyPanel } from "./panels/hoverCertainty.js";
import { imageryPanel } from "./panels/imagery.js";
import { legendsPanel } from "./panels/legends.js";
import { overlayPanel } from "./panels/overlay.js";
import { peoplePanel } from "./panels/people.js";
import { placePanel, sceneBounds } from "./panels/place.js";
import { Presence } from "./presence.js";
import { downloadPanel } from "./panels/download.js";
import { followRole, sharing } from "./roles.js";
import { segmentationsPanel } from "./panels/segmentations.js";
import { splitPanel } from "./panels/split.js";
import { statusPanel } from "./panels/status.js";
import { suggestionsPanel } from "./panels/suggestions.js";
import { dockPanel } from "./panels/dock.js";
import { exposeForTests } from "./testing.js";
import { ProjectSocket } from "./socket.js";
import { ProjectState } from "./state.js";
import { Strokes } from "./strokes.js";
import { Sync } from "./sync.js";
import { timed } from "./timing.js";
import { toast, toastError } from "./toast.js";
import { Tools } from "./tools.js";

const STATISTICS_PAUSE = 1500; // ms between two fetches while counts grow

const IMPORT_PAUSE = 2000; // ms between two looks at a scene that is being imported

const config = JSON.parse(byId("map-config").textContent);
const protocol = location.protocol === "https:" ? "wss:" : "ws:";
const state = new ProjectState();
const socket = new ProjectSocket(`${protocol}//${location.host}${config.wsPath}`);
const sync = new Sync(state, socket, new KeptCommands(config.projectId));
const commands = new Commands(state, sync);
const examples = new Examples(state, sync);
const viewing = new Viewing(state, sync, commands);
const recent = new RecentEdits(state, sync);
const versions = new Versions(state, sync);
const comments = new Comments(state, sync);
const presence = new Presence(state, socket, sync);

statusPanel(state, socket, sync, commands);
classesPanel(state, commands);
const completion = completionPanel(state, commands);
segmentationsPanel(state, commands);
classFilter(state);
legendsPanel(state, commands);
dockPanel();
examplesPanel(state, examples);
versionsPanel(state, versions, viewing, comparePanel(state, versions, viewing));
watchLosses(state, sync);
const help = helpPanel();
sharing(state);

/** Everything that needs to know the scene; made once, when the first state is there. */
function buildMap() {
    const { scene } = state;
    const { info } = scene;
    const map = createMap(byTestId("map"), info);
    const bounds = sceneBounds(map, info);
    map.fitBounds(bounds, { padding: [24, 24] });

    // The panel folds, a phone turns: the map follows the room it has.
    new ResizeObserver(() => map.invalidateSize({ animate: false, debounceMoveend: true })).observe(map.getContainer());

    const layer = new ClusterLayer(info);
    layer.on("error", (message) => setMessage(byTestId("webgl-error"), message));
    const outdated = "The new segmentation is on its way; until then you see the old one.";
    layer.on("outdated", (isOutdated) => setMessage(byTestId("overlay-outdated"), isOutdated ? outdated : ""));
    layer.addTo(map);
    let drawnBefore = false;
    layer.on("drawn", (blocks) => {
        if (!blocks || drawnBefore) return;
        drawnBefore = true;
        performance.mark("clusternet:first-overlay");
    });

    const imagery = new Imagery(map, scene, config.tileUrl, config.basemap, bounds);
    imageryPanel(map, imagery, scene, config.basemap);
    downloadPanel(state, config);
    const overlay = overlayPanel(state, layer);
    const place = placePanel(map, layer, info);
    const area = new AreaLayer(map, info);
    const tools = new Tools(map, layer, state, commands);
    hoverPanel(state, tools);
    hoverCertaintyPanel(state, tools);
    hoverDrawnPanel(state, tools);
    areaPanel(state, area, tools, commands);
    const loader = new BlockLoader(layer, state, socket, toastError);

    const strokes = new Strokes(map, layer, state, tools, commands);
    const exampleLayer = new ExampleLayer(map, layer);
    examplesOnMap(state, examples, exampleLayer, tools, commands);
    const suggestions = suggestionsPanel(state, new SuggestionLayer(map, layer, imagery), commands);

    const places = new Places(map, layer);
    historyPanel(state, recent, viewing, places);
    viewingBanner(state, viewing, places);
    const pins = new CommentLayer(map, layer, places, (thread) => notes.open(thread));
    const notes = commentsPanel(state, comments, pins, tools, places);

    const overrides = new OverrideLoader(layer, state, toastError);
    const drawing = new Drawing(map, layer, state, tools, commands, overrides);
    const draw = drawPanel(state, tools, drawing, sync);

    presence.attach(map, layer, tools);
    new CursorLayer(map, layer, presence);
    showPointed(state, layer, presence);
    const follow = new Follow(map, layer, presence);
    peoplePanel(presence, follow);

    const split = splitPanel(state, tools, commands, sync);
    for (const event of ["state", "splits", "split"]) {
        state.on(event, () => {
            const { splits, splitPreview } = state;
            if (splits.leaves.length || splitPreview) layer.expire(outdatedNumbers(splits, splitPreview?.trial ?? null));
        });
    }
    const toolNames = ["pan", "paint", "stroke", "stroke-against"];
    const toolButtons = Object.fromEntries(toolNames.map((name) => [name, byTestId(`tool-${name}`)]));
    for (const [name, button] of Object.entries(toolButtons)) button.addEventListener("click", () => tools.setTool(name));
    tools.on("tool", (tool) => {
        for (const [name, button] of Object.entries(toolButtons)) button.setAttribute("aria-pressed", String(name === tool));
    });
    bindKeys({
        stepCut: overlay.step,
        nextMode: overlay.nextMode,
        complete: completion.toggle,
        peek: overlay.peek,
        fit: place.fit,
        goto: () => place.openGoto(true),
        help: help.open,
        undo: () => commands.undo(),
        redo: () => commands.redo(),
        nextSuggestion: suggestions.next,
        answerSuggestion: suggestions.answer,
        switchTool: () => tools.setTool(tools.tool === "pan" ? "paint" : "pan"),
        stroke: (against) => {
            const tool = against ? "stroke-against" : "stroke";
            tools.setTool(tools.tool === tool ? "pan" : tool);
        },
        chooseClass: (index) => state.classes[index]?.number && state.setActiveClass(state.classes[index].number),
        split: split.toggle,
        draw: draw.toggle,
        erase: draw.toggleErase,
        note: notes.toggle,
        escape: () => tools.cancelStroke() || follow.stop() || split.close() || strokes.cancel() || drawing.cancel() || draw.close() || exampleLayer.deselect() || area.stop() || notes.cancel() || suggestions.leave() || tools.setTool("pan"),
    });
    showColors(layer);
    return { map, layer, loader, overrides, tools };
}

/** Upload the color tables whenever something they are made of changes: once a frame at most. */
function showColors(layer) {
    let frame = 0;
    const draw = () => {
        frame = 0;
        layer.setDrawnColors(overrideTexels(state.shownClasses, state.palette));
        if (!state.tree) return;
        const { tree, clusterOf, table, completedTable, prediction, palette, splitPreview, splits } = state;
        const mode = splitPreview ? "clusters" : state.mode;
        const colors = colorTexels(tree, clusterOf, completedTable, palette, mode);
        layer.setTables(state.segmentation.id, {
            mode,
            colors: tintParts(colors, splitPreview, clusterOf.length, splits),
            keys: mode === "outlines" ? outlineKeys(clusterOf, completedTable, palette) : null,
            certainty: certaintyTexels(table, completedTable, prediction, palette),
        });
    };
    const soon = () => {
        frame ||= requestAnimationFrame(() => {
            timed("colors", draw);
            layer.flush();
        });
    };
    for (const event of ["clusters", "table", "classes", "mode", "completion", "prediction", "split"]) state.on(event, soon);
    layer.flushColors = () => {
        cancelAnimationFrame(frame);
        draw();
    };
    soon();
}

/** Load the tree of the adopted segmentation, then its statistics; again when another one is adopted. */
class TreeLoader {
    #loaded = null;

    constructor(parts) {
        this.parts = parts;
        this.loadStatistics = throttled(() => this.#loadStatistics().catch(toastError), STATISTICS_PAUSE);
        sync.on("statistics", ({ segmentation }) => segmentation === state.segmentation?.id && this.loadStatistics());
        sync.on("applied", ({ event }) => (event.project || event.splits) && state.tree && this.loadStatistics());
        state.on("segmentations", () => this.update().catch(toastError));
    }

    async update() {
        const { segmentation } = state;
        const { layer, loader } = this.parts;
        layer.setSegmentation(segmentation?.id ?? null);
        if (!segmentation?.tree_ready) {
            this.#loaded = null;
            return;
        }
        const wanted = segmentation.id;
        if (this.#loaded === wanted) {
            if (state.tree) this.loadStatistics(); // a hint that they grew may have been lost with the line
            return;
        }
        this.#loaded = wanted;
        loader.ask(); // blocks come while the tree does
        try {
            const response = await api.fetchOk("GET", `/api/segmentations/${wanted}/tree`);
            const tree = parseTree(await response.arrayBuffer());
            if (state.segmentation?.id !== wanted) return;
            state.setTree(tree);
        } catch (error) {
            this.#loaded = null; // the next state or list of segmentations tries again
            throw error;
        }
        this.loadStatistics();
    }

    async #loadStatistics() {
        const wanted = state.segmentation?.id;
        if (!wanted) return;
        const response = await api.fetchOk("GET", `/api/segmentations/${wanted}/statistics?project=${state.project.id}`);
        const statistics = parseStatistics(await response.arrayBuffer());
        if (state.segmentation?.id === wanted) state.setStatistics(statistics);
    }
}

/** A scene that is still being imported has no map yet: ask again until it has. */
function waitForScene() {
    const { state: progress, message } = state.scene;
    const text = progress === "failed" ? `The scene could not be imported. ${message}` : "The scene is being imported …";
    setMessage(byId("scene-notice"), text);
    if (progress !== "failed") setTimeout(() => socket.send({ type: "state.fetch" }), IMPORT_PAUSE);
}

const page = { state, sync, socket, parts: null };
page.ready = new Promise((resolve, reject) => {
    let trees = null;
    sync.on("loaded", async () => {
        try {
            if (!state.scene.info) {
                waitForScene();
                return;
            }
            setMessage(byId("scene-notice"), "");
            page.parts ??= buildMap();
            trees ??= new TreeLoader(page.parts);
            page.parts.loader.ask();
            await trees.update();
        } catch (error) {
            toastError(error);
            reject(error);
        }
    });
    state.on("clusters", () => state.tree && resolve());
});
page.ready.catch(() => {}); // told above, as a message
exposeForTests(page);
followRole(state, sync, () => page.parts?.tools);

sync.on("failed", toastError);
sync.on("completion-failed", ({ message }) => toast(`The map could not be completed. ${message}`, { kind: "danger" }));
watchConnection(state, socket, sync, api.statusOf, config.projectId);
socket.connect();
