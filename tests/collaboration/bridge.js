/** Answers requests, one JSON object a line, on standard input and output. */
import { createInterface } from "node:readline";
import { answer } from "./pages.js";

for await (const line of createInterface({ input: process.stdin })) {
    let told;
    try {
        told = await answer(JSON.parse(line));
    } catch (error) {
        told = { error: error.stack ?? String(error) };
    }
    process.stdout.write(`${JSON.stringify(told)}\n`);
}
process.exit(0); // timers of pages that wait to dial again would keep it here
