import { describePerson, glide, initials, People, pointedTexels, viewBox, viewOfBox } from "../../static/js/model/presence.js";
import { assert, describe, it } from "./shim.js";

const person = (user, name, more = {}) => ({ connection: `c${user}`, user, name, color: "#102030", role: "editor", point: null, leaf: null, view: null, cut: 40, idle: false, ...more });

describe("who is here", () => {
    it("is everybody but oneself, each once: the tab that was used last, an idle one only where there is no other", () => {
        const people = new People();
        people.apply({ people: [person(1, "me"), person(2, "boris", { point: [1, 1] }), person(2, "boris", { connection: "tab", point: [2, 2] })], gone: [] });
        assert.same(people.others("me").map(({ name, point }) => [name, point]), [["boris", [2, 2]]]);
        people.apply({ people: [person(2, "boris", { point: [3, 3] })] });
        assert.same(people.others("me")[0].point, [3, 3]);
        people.apply({ people: [person(2, "boris", { connection: "tab", point: [4, 4], idle: true })] });
        assert.same(people.others("me")[0].point, [3, 3]);
        people.apply({ gone: ["c2"] });
        assert.equal(people.others("me")[0].idle, true);
        people.clear();
        assert.same(people.others("me"), []);
    });

    it("begins with those who are active, by name", () => {
        const people = new People();
        people.apply({ people: [person(4, "dora"), person(2, "boris", { idle: true }), person(3, "cleo")] });
        assert.same(people.others("me").map(({ name }) => name), ["cleo", "dora", "boris"]);
    });
});

describe("a person in few letters", () => {
    it("has two at most", () => {
        assert.same(["boris", "ana.lopez", "Ana Maria Lopez", "élodie", "𝒜x", "..."].map(initials), ["B", "AL", "AM", "É", "𝒜", "?"]);
    });

    it("is described with role and rest", () => {
        assert.equal(describePerson(person(2, "boris", { idle: true })), "boris, editor, idle");
    });
});

describe("a view as a box", () => {
    it("comes back as it was in a map of the same size, and fits whole into another", () => {
        const box = viewBox({ row: 100, col: 200 }, 4, { x: 800, y: 600 });
        assert.same(box, [25, 100, 175, 300]);
        assert.same(viewOfBox(box, { x: 800, y: 600 }), { row: 100, col: 200, scale: 4 });
        assert.equal(viewOfBox(box, { x: 400, y: 600 }).scale, 2);
    });
});

describe("a pointer's way", () => {
    it("comes nearer with each step and ends where it is to be", () => {
        let at = [0, 0];
        const to = [10, 20];
        for (let step = 0; step < 100 && at !== to; step++) at = glide(at, to, 16, 70, 0.1);
        assert.equal(at, to);
        const [half] = glide([0, 0], [10, 0], 70 * Math.log(2), 70, 0.1);
        assert.equal(Math.abs(half - 5) < 1e-9, true);
    });
});

describe("what others point at", () => {
    it("has their color, the first one's where two point at the same", () => {
        const texels = pointedTexels([{ color: "#0a141e", lights: Uint8Array.of(0, 255, 255) }, { color: "#ffffff", lights: Uint8Array.of(0, 0, 255) }], 3);
        assert.same([...texels], [0, 0, 0, 0, 10, 20, 30, 255, 10, 20, 30, 255]);
    });
});
