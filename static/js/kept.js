/**
 * Commands that the server has not confirmed, kept for this tab: they outlive a reload and a crash (docs/decisions/0020).
 *
 * The tab's own storage, so that a second tab sends nothing of the first; by project and by who made them, so that nothing is
 * ever sent under somebody else's name. Where storage is forbidden or full they are kept in memory, and lost with the tab.
 */
export class KeptCommands {
    #memory = new Map(); // key -> commands

    /** @param {number} project @param {() => Storage} getStorage throws where the browser forbids it */
    constructor(project, getStorage = () => globalThis.sessionStorage) {
        this.project = project;
        this.getStorage = getStorage;
    }

    #key(user) {
        return `clusternet:unsaved:${this.project}:${user}`;
    }

    /** @returns {boolean} whether they would outlive a reload */
    save(user, commands) {
        const key = this.#key(user);
        if (commands.length) this.#memory.set(key, [...commands]);
        else this.#memory.delete(key);
        try {
            const storage = this.getStorage();
            storage.removeItem(key); // an older list must not come back where the new one has no room
            if (commands.length) storage.setItem(key, JSON.stringify(commands));
            return true;
        } catch {
            return false; // forbidden or full: the page goes on, and warns when it is closed
        }
    }

    /** @returns {object[]} in the order in which they were made */
    load(user) {
        const key = this.#key(user);
        if (this.#memory.has(key)) return this.#memory.get(key);
        let found;
        try {
            found = JSON.parse(this.getStorage().getItem(key) ?? "[]");
        } catch {
            return []; // forbidden, or not written by us
        }
        const isCommand = (one) => typeof one?.type === "string" && typeof one.client_id === "string";
        return Array.isArray(found) ? found.filter(isCommand) : [];
    }
}
