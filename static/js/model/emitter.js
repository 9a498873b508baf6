/** Named events without the DOM, so that the models run in Node as they do in the page. */
export class Emitter {
    #listeners = new Map();

    /** @returns {() => void} stops listening */
    on(name, listener) {
        if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
        this.#listeners.get(name).add(listener);
        return () => this.#listeners.get(name).delete(listener);
    }

    emit(name, detail) {
        for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(detail);
    }
}
