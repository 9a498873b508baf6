/** The list of recent edits: in words, in order, with what was taken back since. The only place that makes words of edits. */
import { formatArea, formatPixels } from "./areas.js";
import { formatCertainty } from "./completion.js";

const MINUTE = 60e3;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** What the class with a number is called now, or was last. */
export function classLabel(number, classes) {
    return classes.find((label) => label.number === number && number > 0)?.name ?? "a class that is gone";
}

/** "3.2 ha", or pixels where nothing is known of the ground; "" where it is not known. */
export function areaText(area) {
    if (!area) return "";
    return area.area_m2 === null ? formatPixels(area.pixels) : formatArea(area.area_m2);
}

const WORDS = {
    "leaves.assign": ({ name }) => `assigned ${name}`,
    "leaves.unassign": () => "took a class back",
    "cluster.split": ({ detail }) => `split a cluster into ${detail.parts}`,
    "leaf.split": ({ label, name, detail }) => (label ? `split a cluster for ${name}` : `split a cluster into ${detail.parts}`),
    "override.add": ({ label, name }) => (label ? `drew ${name}` : "erased what was drawn"),
    "class.create": ({ detail }) => `added the class ${detail.name}`,
    "class.rename": ({ detail }) => (detail.was ? `renamed ${detail.was} to ${detail.name}` : `renamed a class to ${detail.name}`),
    "class.recolor": ({ name }) => `gave ${name} another color`,
    "class.reorder": () => "moved a class in the list",
    "class.delete": ({ name }) => `deleted the class ${name}`,
    "class.merge": ({ name, detail, classes }) => `merged ${detail.sources.map((number) => classLabel(number, classes)).join(", ")} into ${name}`,
    "legend.load": ({ detail }) => `loaded ${plural(detail.classes ?? 0, "class", "classes")}`,
    "aoi.set": ({ detail }) => (detail.is_set ? "set the area of interest" : "cleared the area of interest"),
    "segmentation.adopt": ({ detail }) => (detail.segmentation ? `adopted segmentation ${detail.segmentation}` : "let go of a deleted segmentation"),
    "examples.add": ({ label, name, detail }) => `added ${plural(detail.points, "example")}${label ? ` of ${name}` : ""}`,
    "examples.remove": ({ detail }) => `removed the examples of ${plural(detail.targets, "edit")}`,
    "completion.set": ({ detail }) => (detail.on ? `completed the map from ${formatCertainty(detail.threshold)} on` : "ended the completion of the map"),
    "state.restore": ({ detail }) => `restored the state after edit ${detail.number}`,
};

/**
 * What an edit did: "assigned Water, 3.2 ha", "undid: renamed Forest to Woods".
 * @param {object} edit an "Edit description" of docs/protocol.md
 * @param {{number: number, name: string}[]} classes of the project, deleted ones included
 */
export function editWords(edit, classes) {
    const { kind, label, detail = {}, area } = edit;
    const size = areaText(area);
    if (kind === "edit.undo" || kind === "edit.redo") {
        const verb = kind === "edit.undo" ? "undid" : "redid";
        const what = detail.what ? editWords({ ...detail.what, label, area }, classes) : `edit ${detail.target}`;
        return `${verb}: ${what}`;
    }
    const words = WORDS[kind]?.({ label, detail, classes, name: classLabel(label, classes) }) ?? `changed the project (${kind})`;
    return size ? `${words}, ${size}` : words;
}

/** Who did it, as the reader knows them. */
export function authorName(author, user) {
    if (!author) return "The server";
    return author.name === user ? "You" : author.name;
}

/** "just now", "5 min ago", "3 h ago", then the day. */
export function timeAgo(at, now = Date.now()) {
    const past = now - Date.parse(at);
    if (past < MINUTE) return "just now";
    if (past < HOUR) return `${Math.floor(past / MINUTE)} min ago`;
    if (past < DAY) return `${Math.floor(past / HOUR)} h ago`;
    return moment(at, now);
}

/** "5 May, 14:03", with the year where it is another one. */
export function moment(at, now = Date.now()) {
    const date = new Date(at);
    const sameYear = date.getFullYear() === new Date(now).getFullYear();
    const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...(sameYear ? {} : { year: "numeric" }) });
    return `${day}, ${date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`;
}

const within = (ranges, number) => ranges.some(([low, high]) => number >= low && number < high);
const isToggle = ({ kind }) => kind === "edit.undo" || kind === "edit.redo";

/** The list, newest first, after `died` and `revived` ranges of edit numbers; undo and redo themselves are always live. */
export function turned(edits, died = [], revived = []) {
    if (!died.length && !revived.length) return edits;
    return edits.map((edit) => {
        if (isToggle(edit)) return edit;
        const live = within(revived, edit.number) || (edit.live && !within(died, edit.number));
        return live === edit.live ? edit : { ...edit, live };
    });
}

/** The list with newer or older edits joined in, newest first, each once: the one that came last is the truth. */
export function joined(edits, more) {
    const byNumber = new Map(edits.map((edit) => [edit.number, edit]));
    for (const edit of more) byNumber.set(edit.number, edit);
    return [...byNumber.values()].sort((one, other) => other.number - one.number);
}

/** An `edit.applied` event as an entry of the list. */
export function entryOf(event) {
    const { number, kind, at, author = null, label = null, place = null, area = null, detail = {} } = event;
    return { number, kind, at, author, label, place, area, detail, live: true };
}

/** @param {"all" | "mine" | "others"} whose */
export function ofWhom(edits, whose, user) {
    if (whose === "all") return edits;
    return edits.filter(({ author }) => (author?.name === user) === (whose === "mine"));
}

/**
 * What to tell somebody whose classifications were overwritten by others who had not seen them.
 * @param {{name: string, leaves: number, mine: number, theirs: number}[]} losses `mine`, `theirs`: class numbers, 0 = none
 */
export function lossWords(losses, classes) {
    const names = [...new Set(losses.map(({ name }) => name))];
    const who = names.length > 2 ? `${names.length} people` : names.join(" and ");
    const leaves = losses.reduce((sum, loss) => sum + loss.leaves, 0);
    const place = plural(leaves, "leaf", "leaves");
    const given = new Set(losses.map(({ theirs }) => theirs));
    const [theirs] = given;
    const said = given.size > 1 ? "other classes" : theirs ? classLabel(theirs, classes) : "no class";
    const own = new Set(losses.map(({ mine }) => mine));
    const [mine] = own;
    const what = own.size === 1 && mine ? ` that you had just made ${classLabel(mine, classes)}` : " that you had just changed";
    return `At the same moment ${who} gave ${said} to ${place}${what}. The later change stands.`;
}
