/** The dialog of who takes part in a project: on the map page and on the projects page. */
import { del, get, patch, post } from "../api.js";
import { bindCopy } from "../copy.js";
import { describeLink } from "../model/members.js";
import { closeOnBackdrop, confirmDialog } from "../pages/dialogs.js";
import { h } from "../pages/dom.js";
import { byId, setMessage } from "./dom.js";

const ROLES = [["viewer", "Viewer"], ["editor", "Editor"], ["owner", "Owner"]];
const HINTS = {
    owner: "Viewers see everything live, editors change the map, owners also decide who takes part.",
    other: "Owners decide who takes part.",
};

export class SharingDialog {
    #project = null;
    #turn = 0; // an answer that was overtaken is dropped

    /**
     * @param {string} me name of whoever looks at it
     * @param {{onChange?: () => void, onLeave?: () => void}} [listeners]
     */
    constructor(me, { onChange = () => {}, onLeave = () => {} } = {}) {
        this.me = me;
        Object.assign(this, { onChange, onLeave });
        this.dialog = byId("sharing-dialog");
        byId("sharing-close").addEventListener("click", () => this.dialog.close());
        closeOnBackdrop(this.dialog);
        byId("invite-form").addEventListener("submit", (event) => this.#invite(event));
        byId("link-form").addEventListener("submit", (event) => this.#makeLink(event));
        bindCopy(byId("link-copy"), byId("link-url"));
        // The link is a key to the project: it does not stay on the page.
        this.dialog.addEventListener("close", () => this.#forgetLink());
    }

    get isOpen() {
        return this.dialog.open;
    }

    /** @param {{id: number, name: string}} project */
    open(project) {
        this.#project = project;
        byId("sharing-title").textContent = `Share ${project.name}`;
        byId("member-list").replaceChildren();
        byId("link-list").replaceChildren();
        byId("invite-form").reset();
        setMessage(byId("sharing-error"), "");
        this.#forgetLink();
        this.dialog.showModal();
        return this.refresh();
    }

    /** Read anew who takes part, and the links. */
    async refresh() {
        const turn = ++this.#turn;
        await this.#try(async () => {
            const path = `/api/projects/${this.#project.id}`;
            const members = await get(`${path}/members`);
            const isOwner = members.some(({ name, role }) => name === this.me && role === "owner");
            const links = isOwner ? await get(`${path}/invites`) : [];
            if (turn === this.#turn) this.#show(members, links, isOwner);
        });
    }

    #show(members, links, isOwner) {
        byId("invite-form").hidden = !isOwner;
        byId("sharing-links").hidden = !isOwner;
        byId("sharing-hint").textContent = isOwner ? HINTS.owner : HINTS.other;
        byId("member-list").replaceChildren(...members.map((member) => this.#row(member, isOwner)));
        byId("link-list").replaceChildren(...links.map((link) => this.#linkRow(link)));
    }

    #row(member, isOwner) {
        const isMe = member.name === this.me;
        const face = h("span", { class: "member-face", "aria-hidden": "true", text: [...member.name][0].toUpperCase() });
        face.style.backgroundColor = member.color;
        const remark = isMe ? " (you)" : member.active ? "" : " (account switched off)";
        const name = h("span", { class: "member-name", title: member.name, text: member.name }, h("span", { class: "muted", text: remark }));
        return h("li", { class: "member", "data-testid": "member", "data-user": member.id }, face, name,
            isOwner ? this.#roleSelect(member, isMe) : h("span", { class: "member-role", text: ROLES.find(([role]) => role === member.role)[1] }),
            isOwner || isMe ? h("button", {
                type: "button", class: "button quiet small danger-hover", "data-testid": "member-remove",
                "aria-label": isMe ? "Leave the project" : `Remove ${member.name}`, text: isMe ? "Leave" : "Remove",
                onclick: () => this.#remove(member, isMe),
            }) : null);
    }

    #roleSelect(member, isMe) {
        const select = h("select", { "data-testid": "member-role", "aria-label": `Role of ${member.name}` },
            ...ROLES.map(([value, text]) => h("option", { value, text, selected: value === member.role })));
        select.addEventListener("change", async () => {
            const sure = !isMe || await confirmDialog({
                title: "Give up being an owner?",
                text: "Only another owner can make you one again.",
                action: "Give it up",
            });
            if (sure) await this.#act(() => patch(this.#memberPath(member), { role: select.value }));
            else select.value = member.role;
        });
        return select;
    }

    async #remove(member, isMe) {
        const sure = await confirmDialog(isMe ? {
            title: `Leave ${this.#project.name}?`,
            text: "What you did stays. To come back you need an invitation.",
            action: "Leave",
        } : {
            title: `Remove ${member.name}?`,
            text: "What they did stays. All links are revoked, so that they cannot come back by one.",
            action: "Remove",
        });
        if (!sure) return;
        if (!isMe) {
            await this.#act(() => del(this.#memberPath(member)));
            return;
        }
        const left = await this.#try(async () => {
            await del(this.#memberPath(member));
            return true;
        });
        if (!left) return;
        this.dialog.close();
        this.onLeave();
    }

    #memberPath({ id }) {
        return `/api/projects/${this.#project.id}/members/${id}`;
    }

    async #invite(event) {
        event.preventDefault();
        const name = byId("invite-name").value.trim();
        const role = byId("invite-role").value;
        const done = await this.#act(() => post(`/api/projects/${this.#project.id}/members`, { user: name, role }));
        if (done) byId("invite-form").reset();
    }

    async #makeLink(event) {
        event.preventDefault();
        const number = (id) => (byId(id).value ? Number(byId(id).value) : null);
        const fields = { role: byId("link-role").value, expires_in: number("link-expires"), max_uses: number("link-uses") };
        await this.#act(async () => {
            const { url } = await post(`/api/projects/${this.#project.id}/invites`, fields);
            byId("link-url").value = url;
            byId("link-made").hidden = false;
            byId("link-url").select();
        });
    }

    #linkRow(link) {
        return h("li", { class: "link-item", "data-testid": "link" }, h("span", { text: describeLink(link) }),
            h("button", {
                type: "button", class: "button quiet small danger-hover", text: "Revoke", "data-testid": "link-revoke",
                onclick: () => {
                    this.#forgetLink();
                    this.#act(() => del(`/api/projects/${this.#project.id}/invites/${link.id}`));
                },
            }));
    }

    #forgetLink() {
        byId("link-url").value = "";
        byId("link-made").hidden = true;
    }

    /** Do something, and show how things are then. @returns whether it was done */
    async #act(work) {
        const done = await this.#try(async () => {
            await work();
            return true;
        });
        if (done) this.onChange();
        const message = byId("sharing-error").textContent;
        await this.refresh();
        if (!done) setMessage(byId("sharing-error"), message); // what is read anew has not made it good
        return Boolean(done);
    }

    async #try(work) {
        try {
            setMessage(byId("sharing-error"), "");
            return await work();
        } catch (error) {
            setMessage(byId("sharing-error"), error.message);
            return null;
        }
    }
}
