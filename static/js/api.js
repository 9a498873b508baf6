/** REST with the session cookie and Django's CSRF token. Every failure is an ApiError whose message is a sentence. */

const OFFLINE = "The server cannot be reached. Check the connection, then try again.";

export class ApiError extends Error {
    /**
     * @param {string} message a sentence for the person at the screen
     * @param {number} status HTTP status, 0 where no answer came
     */
    constructor(message, status) {
        super(message);
        this.name = "ApiError";
        this.status = status;
    }
}

/** @returns {string} the token that Django wants back with every write */
export function csrfToken(cookies = document.cookie) {
    const found = cookies.split("; ").find((cookie) => cookie.startsWith("csrftoken="));
    return found ? decodeURIComponent(found.slice("csrftoken=".length)) : "";
}

/**
 * What to tell about a response that is not a success.
 * @param {number} status
 * @param {string} text body of the response
 */
export function failure(status, text) {
    try {
        const {detail} = JSON.parse(text);
        if (typeof detail === "string" && detail) return new ApiError(detail, status);
    } catch {
        // not JSON: a proxy's page or none at all; the status has to say it
    }
    if (status === 401) return new ApiError("Your sign-in has ended. Reload the page to sign in again.", status);
    if (status === 413) return new ApiError("That is larger than the server takes.", status);
    return new ApiError(`The server answered with an error (${status}). Please try again.`, status);
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{body?: any, signal?: AbortSignal}} [options] body is sent as JSON
 * @returns {Promise<Response>}
 */
export async function fetchOk(method, path, {body, signal} = {}) {
    return send(method, path, body === undefined ? undefined : JSON.stringify(body), "application/json", signal);
}

/** The same with a body that is text already. @param {string} type its media type */
export const fetchText = (method, path, body, type) => send(method, path, body, type);

async function send(method, path, body, type, signal) {
    const headers = {Accept: "application/json"};
    if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
    if (body !== undefined) headers["Content-Type"] = type;
    let response;
    try {
        response = await fetch(path, {
            method, headers, signal, body, credentials: "same-origin", redirect: "error",
        });
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new ApiError(OFFLINE, 0);
    }
    if (!response.ok) throw failure(response.status, await response.text());
    return response;
}

/** @returns {Promise<number>} HTTP status of a path, 0 where no answer came */
export async function statusOf(path) {
    try {
        return (await fetchOk("GET", path)).status;
    } catch (error) {
        if (error instanceof ApiError) return error.status;
        throw error;
    }
}

async function json(method, path, options) {
    const response = await fetchOk(method, path, options);
    return response.status === 204 ? null : response.json();
}

export const get = (path, options) => json("GET", path, options);
export const post = (path, body) => json("POST", path, {body});
export const patch = (path, body) => json("PATCH", path, {body});
export const del = (path) => json("DELETE", path);

/**
 * Send one file. XMLHttpRequest, because fetch cannot tell how much of a body has gone out.
 * @param {string} path
 * @param {File} file
 * @param {{onProgress?: (share: number) => void, signal?: AbortSignal}} [options] share: 0 to 1
 * @returns {Promise<any>} the answer; rejects with an AbortError when the signal fires
 */
export function upload(path, file, {onProgress, signal} = {}) {
    return new Promise((resolve, reject) => {
        const aborted = () => new DOMException("The upload was cancelled.", "AbortError");
        if (signal?.aborted) {
            reject(aborted());
            return;
        }
        const request = new XMLHttpRequest();
        const form = new FormData();
        form.append("file", file);
        request.open("POST", path);
        request.setRequestHeader("X-CSRFToken", csrfToken());
        request.setRequestHeader("Accept", "application/json");
        request.upload.onprogress = (event) => {
            if (event.lengthComputable) onProgress?.(event.total ? event.loaded / event.total : 1);
        };
        request.onload = () => {
            if (request.status < 200 || request.status >= 300) {
                reject(failure(request.status, request.responseText));
                return;
            }
            try {
                resolve(JSON.parse(request.responseText));
            } catch {
                reject(failure(request.status, ""));
            }
        };
        request.onerror = () => reject(new ApiError(OFFLINE, 0));
        request.onabort = () => reject(aborted());
        signal?.addEventListener("abort", () => request.abort(), {once: true});
        request.send(form);
    });
}
