/** describe, it and assert: the same test files run under `node --test` and in Chromium. */

const inNode = typeof process !== "undefined" && Boolean(process.versions?.node);
const node = inNode ? await import("node:test") : null;
const queue = [];
const path = [];

export function describe(name, body) {
    if (node) {
        node.describe(name, body);
        return;
    }
    path.push(name);
    body();
    path.pop();
}

export function it(name, body) {
    if (node) node.it(name, body);
    else queue.push({ name: [...path, name].join(" > "), body });
}

/** Run what the browser has collected. @returns {Promise<{name: string, error: string | null}[]>} */
export async function runAll() {
    const results = [];
    for (const { name, body } of queue.splice(0)) {
        let error = null;
        try {
            await body();
        } catch (problem) {
            error = problem.stack ?? String(problem);
        }
        results.push({ name, error });
    }
    return results;
}

const show = (value) =>
    JSON.stringify(value, (_, inner) => {
        if (ArrayBuffer.isView(inner)) return Array.from(inner);
        if (inner instanceof Map) return [...inner];
        return typeof inner === "number" && !Number.isFinite(inner) ? String(inner) : inner;
    });

export function assert(condition, message = "expected something true") {
    if (!condition) throw new Error(message);
}

assert.equal = (actual, expected) => {
    if (!Object.is(actual, expected)) throw new Error(`expected ${show(expected)}, got ${show(actual)}`);
};

assert.same = (actual, expected) => {
    if (show(actual) !== show(expected)) throw new Error(`expected ${show(expected)}, got ${show(actual)}`);
};

assert.close = (actual, expected, tolerance) => {
    if (!(Math.abs(actual - expected) <= tolerance)) throw new Error(`expected ${expected} ± ${tolerance}, got ${actual}`);
};

/** @param {RegExp} pattern of the message */
assert.throws = (action, pattern) => {
    try {
        action();
    } catch (error) {
        if (pattern.test(error.message)) return;
        throw new Error(`expected an error like ${pattern}, got "${error.message}"`);
    }
    throw new Error(`expected an error like ${pattern}, got none`);
};

/** @param {RegExp} pattern of the message, or of the name */
assert.rejects = async (promise, pattern) => {
    try {
        await promise;
    } catch (error) {
        if (pattern.test(error.message) || pattern.test(error.name)) return;
        throw new Error(`expected an error like ${pattern}, got "${error.message}"`);
    }
    throw new Error(`expected an error like ${pattern}, got none`);
};
