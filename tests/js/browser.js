/** Runs the test files named in the query, and leaves the results where the test that opened the page looks. */
import { runAll } from "./shim.js";

const files = new URLSearchParams(location.search).getAll("file");
window.results = (async () => {
    for (const file of files) await import(`./${file}`);
    return runAll();
})();
