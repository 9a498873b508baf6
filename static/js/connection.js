/** Watches over the line: dials at once when the network or the person is back, and finds out why the server lets nobody in. */
import { byTestId } from "./panels/dom.js";
import { toast } from "./toast.js";

const GONE = "This project was deleted, or is no longer open to you: you were removed, or have signed out. Go back to your projects.";

const changes = (count) => (count === 1 ? "1 change that was" : `${count} changes that were`);

/**
 * @param {import("./state.js").ProjectState} state
 * @param {import("./socket.js").ProjectSocket} socket
 * @param {import("./sync.js").Sync} sync
 * @param {(path: string) => Promise<number>} probe HTTP status of a page of the API, 0 where no answer came
 * @param {number} project
 */
export function watchConnection(state, socket, sync, probe, project) {
    const notice = byTestId("signed-out");
    const path = `/api/projects/${project}/members`;

    async function whyRefused() {
        const status = await probe(path);
        if (status === 401) socket.signedOut();
        return status;
    }

    async function gone() {
        if ((await whyRefused()) === 401 || socket.status !== "gone") return;
        const count = sync.dropAll();
        toast(count ? `${GONE} ${changes(count)} not saved yet cannot be saved any more.` : GONE, { kind: "danger" });
    }

    socket.on("status", (status) => {
        notice.hidden = status !== "signed-out";
        if (status === "gone") gone();
    });
    socket.on("refused", whyRefused);
    byTestId("sign-in-again").href = `/accounts/login/?next=${encodeURIComponent(location.pathname)}`;

    sync.on("restored", ({ count }) => toast(`${changes(count)} not saved when this page was closed: sending now.`));
    sync.on("held-back", ({ count, user }) => {
        toast(`You are signed in as somebody else now. ${changes(count)} made as ${user} and not saved yet wait in this tab until ${user} signs in again.`, {
            kind: "danger",
        });
    });

    window.addEventListener("online", () => socket.wake());
    window.addEventListener("offline", () => socket.lost());
    window.addEventListener("pageshow", () => socket.wake());
    window.addEventListener("focus", () => socket.wake());
    document.addEventListener("visibilitychange", () => document.hidden || socket.wake());
}
