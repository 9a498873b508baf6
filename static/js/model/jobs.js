/** What is said of a job, in words. */
import {formatTimeLeft} from "./place.js";

export const ACTIVE = ["queued", "running"];

const STAGES = {
    importing: "Reading the image and making overviews",
    reading: "Reading the scene",
    learning: "Learning better features",
    codebook: "Finding the clusters",
    leaves: "Clustering the scene",
    overviews: "Preparing overviews",
    writing: "Writing the file",
};
const STATES = {queued: "Waiting", running: "Running", complete: "Complete", failed: "Failed", cancelled: "Cancelled"};
const KINDS = {import: "Import", segment: "Segmentation", learn: "Learning", export: "Download"};

export const stateWord = ({state}) => STATES[state];

/** "Segmentation", and what of. */
export const kindWord = ({kind}) => KINDS[kind];

/** "Clustering the scene · 42% · 3 min left", or what a waiting one waits for. */
export function courseText(job) {
    if (job.state === "queued") return waitText(job);
    const parts = [STAGES[job.stage] ?? "Starting", `${Math.floor(job.progress * 100)}%`, formatTimeLeft(job.left_s)];
    return parts.filter(Boolean).join(" · ");
}

/** "Second in the queue. It waits for the job before it." */
export function waitText({place, message}) {
    const where = place ? `Number ${place} in the queue.` : "It begins in a moment.";
    return [where, message].filter(Boolean).join(" ");
}

/** "34 s", "12 min", "3.5 h" */
export function formatSpan(seconds) {
    if (seconds < 1) return "less than a second";
    if (seconds < 90) return `${Math.round(seconds)} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return `${Number((seconds / 3600).toFixed(1))} h`;
}
