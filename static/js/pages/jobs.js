/** The jobs page: a list that is asked for again while something runs and somebody looks. */

import {get, post} from "../api.js";
import {ACTIVE, courseText, formatSpan, kindWord, stateWord} from "../model/jobs.js";
import {toastError} from "../toast.js";
import {h, icon} from "./dom.js";
import {formatAgo, formatBytes} from "./format.js";

const POLL_MS = 2000;
const FILTERS = ["state", "kind", "mine", "scene", "project", "segmentation", "page"];
const NARROWED = {scene: "Jobs of one scene.", project: "Jobs of one project.", segmentation: "The job of one segmentation."};

const config = JSON.parse(document.getElementById("page-config").textContent);
const byId = (id) => document.getElementById(id);
const list = byId("job-list");
const filters = byId("jobs-filters");
const [newer, older] = byId("jobs-pages").querySelectorAll("button");

let shown = {jobs: [], page: 1, pages: 1, active: 0};
let polling = 0;
let asked = 0; // of overlapping requests the answer to the last counts
const logs = new Map(); // job id -> lines, of logs that are unfolded

const query = () => new URLSearchParams(location.search);

function path() {
    const wanted = new URLSearchParams();
    for (const name of FILTERS) if (query().get(name)) wanted.set(name, query().get(name));
    return `/api/jobs?${wanted}`;
}

async function refresh() {
    const number = ++asked;
    const answer = await get(path());
    if (number !== asked) return;
    const running = answer.jobs.filter((job) => logs.has(job.id) && (ACTIVE.includes(job.state) || isNews(job)));
    await Promise.all(running.map((job) => readLog(job.id)));
    shown = answer;
    show();
}

const isNews = (job) => shown.jobs.find((other) => other.id === job.id)?.state !== job.state;

async function readLog(id) {
    logs.set(id, (await get(`/api/jobs/${id}/log`)).lines);
}

/** Only while something runs and the tab is seen. */
function poll() {
    clearTimeout(polling);
    if (!shown.active || document.hidden) return;
    polling = setTimeout(async () => {
        try {
            await refresh();
        } catch (error) {
            // The server may be restarting: go on asking; who is signed out is told.
            if (error.status === 401) {
                toastError(error);
                return;
            }
        }
        poll();
    }, POLL_MS);
}

let isFirst = true;

async function start() {
    try {
        await refresh();
        if (isFirst && query().get("segmentation") && shown.jobs.length === 1) await toggleLog(shown.jobs[0].id); // whoever comes for it
        isFirst = false;
    } catch (error) {
        toastError(error);
    }
    poll();
}

async function act(button, work) {
    button.disabled = true;
    try {
        await work();
    } catch (error) {
        toastError(error);
    }
    await start();
}

// ---- a row -----------------------------------------------------------------------------------------------------

const BADGES = {queued: "", running: "busy", complete: "good", failed: "danger", cancelled: ""};

function title({kind, scene, project}) {
    if (kind === "export") return [project?.name ?? "a project", project?.url];
    return [scene?.name ?? "a scene", project?.url];
}

function facts(job) {
    const by = job.automatic ? "begun by the server" : job.owner && job.owner.name !== config.user ? `by ${job.owner.name}` : null;
    const tries = job.attempt > 1 ? `attempt ${job.attempt}` : null;
    const took = job.computing_s >= 1 || job.state === "complete" ? `${formatSpan(job.computing_s)} of computing` : null;
    const size = job.file ? formatBytes(job.file.size_bytes) : null;
    const kept = job.file?.expires_at ? `kept until ${new Date(job.file.expires_at).toLocaleString(undefined, {dateStyle: "medium", timeStyle: "short"})}` : null;
    return [`asked for ${formatAgo(job.created_at)}`, by, tries, took, size, kept].filter(Boolean).join(" · ");
}

function progress(job) {
    if (!ACTIVE.includes(job.state)) return null;
    const bar = h("progress", {max: 1, value: job.state === "running" ? job.progress : 0, "aria-label": `Progress of job ${job.id}`, "data-testid": "job-progress"});
    return h("div", {class: "job-progress"}, bar, h("p", {"data-testid": "job-course", text: courseText(job)}));
}

function tools(job) {
    const isOpen = logs.has(job.id);
    const button = (testid, text, onclick, extra = "") => h("button", {type: "button", class: `button small ${extra}`, "data-testid": testid, onclick, text});
    const call = (what) => (event) => act(event.target, () => post(`/api/jobs/${job.id}/${what}`));
    return h("div", {class: "job-tools"},
        job.file ? h("a", {class: "button small primary", href: job.file.url, download: job.file.name, "data-testid": "job-download"}, icon("download"), "Download") : null,
        job.can_retry ? button("job-retry", "Try again", call("retry")) : null,
        job.can_cancel ? button("job-cancel", "Cancel", call("cancel")) : null,
        h("button", {
            type: "button", class: "button small quiet", "data-testid": "job-log-toggle", "aria-expanded": String(isOpen), "aria-controls": `job-log-${job.id}`,
            "aria-label": `Log of job ${job.id}`, onclick: () => toggleLog(job.id), text: isOpen ? "Hide log" : "Log",
        }));
}

async function toggleLog(id) {
    try {
        if (!logs.delete(id)) await readLog(id);
    } catch (error) {
        toastError(error);
    }
    show();
}

function logOf(id) {
    if (!logs.has(id)) return null;
    const rows = logs.get(id).map(({at, text}) => h("li", {"data-testid": "job-line"},
        h("time", {datetime: at, text: new Date(at).toLocaleString(undefined, {dateStyle: "short", timeStyle: "medium"})}), h("span", {text})));
    return h("ol", {class: "job-log", id: `job-log-${id}`, "data-testid": "job-log", tabindex: 0, "aria-label": `Log of job ${id}`}, ...rows);
}

function row(job) {
    const [name, url] = title(job);
    const isBad = job.state === "failed";
    const message = job.state === "queued" ? "" : job.message;
    return h("li", {
        class: `job${String(job.segmentation) === query().get("segmentation") ? " pointed" : ""}`, id: `job-${job.id}`,
        "data-testid": "job-row", "data-job": job.id, "data-state": job.state, "data-kind": job.kind,
    },
    h("div", {class: "job-body"},
        h("div", {class: "job-main"},
            h("div", {class: "job-title"},
                h("span", {text: `${kindWord(job)}: `}, url ? h("a", {href: url, "data-testid": "job-open", text: name}) : name),
                h("span", {class: `badge ${BADGES[job.state]}`, "data-testid": "job-state", text: stateWord(job)})),
            h("p", {class: "job-facts", text: facts(job)}),
            message ? h("p", {class: `job-message${isBad ? " danger" : ""}`, "data-testid": "job-message", text: message}) : null),
        tools(job),
        progress(job)),
    logOf(job.id));
}

// ---- the list ----------------------------------------------------------------------------------------------------

/** Only rows that changed are made anew, so that focus and scrolled logs stay where they are. */
function show() {
    const old = new Map([...list.children].map((item) => [item.id, item]));
    const rows = shown.jobs.map((job) => {
        const digest = JSON.stringify([job, logs.get(job.id) ?? null, facts(job)]);
        const kept = old.get(`job-${job.id}`);
        if (kept?.jobDigest === digest) return kept;
        const fresh = row(job);
        fresh.jobDigest = digest;
        keepPlace(kept, fresh);
        return fresh;
    });
    const same = rows.length === list.children.length && rows.every((item, index) => item === list.children[index]);
    if (!same) list.replaceChildren(...rows);
    list.setAttribute("aria-busy", "false");
    byId("jobs-empty").hidden = rows.length > 0;
    byId("jobs-empty").textContent = location.search ? "No job is like that." : "Nothing yet. Imports, segmentations and prepared downloads show here.";
    byId("jobs-pages").hidden = shown.pages < 2;
    byId("jobs-page").textContent = `Page ${shown.page} of ${shown.pages}`;
    newer.disabled = shown.page <= 1;
    older.disabled = shown.page >= shown.pages;
}

function keepPlace(kept, fresh) {
    if (!kept) return;
    const scrolled = kept.querySelector(".job-log")?.scrollTop;
    const focused = kept.contains(document.activeElement) ? document.activeElement.dataset.testid : null;
    queueMicrotask(() => {
        if (scrolled) fresh.querySelector(".job-log")?.scrollTo(0, scrolled);
        if (focused) (fresh.querySelector(`[data-testid="${focused}"]`) ?? fresh.querySelector("[data-testid=job-log-toggle]")).focus();
    });
}

// ---- filters and pages ---------------------------------------------------------------------------------------------

function showFilters() {
    for (const name of ["state", "kind"]) filters.elements[name].value = query().get(name) ?? "";
    filters.elements.mine.checked = Boolean(query().get("mine"));
    const narrowed = Object.keys(NARROWED).find((name) => query().get(name));
    byId("jobs-narrowed").hidden = !narrowed;
    byId("jobs-narrowed-text").textContent = narrowed ? NARROWED[narrowed] : "";
}

function go(changes) {
    const wanted = query();
    for (const [name, value] of Object.entries(changes)) {
        if (value) wanted.set(name, value);
        else wanted.delete(name);
    }
    history.pushState(null, "", `${location.pathname}${wanted.size ? `?${wanted}` : ""}`);
    start();
}

filters.addEventListener("change", () => {
    const {state, kind, mine} = filters.elements;
    go({state: state.value, kind: kind.value, mine: mine.checked ? "1" : "", page: ""});
});
newer.addEventListener("click", () => go({page: shown.page > 2 ? shown.page - 1 : ""}));
older.addEventListener("click", () => go({page: shown.page + 1}));
addEventListener("popstate", () => {
    showFilters();
    start();
});
document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(polling);
    else start();
});

showFilters();
start();
