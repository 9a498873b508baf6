/** Members, roles and links in words. */
import { describeLink, timeUntil, viewerSentence, whomToAsk } from "../../static/js/model/members.js";
import { assert, describe, it } from "./shim.js";

const owner = (name) => ({ name, role: "owner" });
const NOW = Date.parse("2026-01-01T00:00:00Z");

describe("members and links", () => {
    it("names two owners at most, and nobody else", () => {
        const viewer = { name: "vera", role: "viewer" };
        assert.equal(whomToAsk([owner("ana"), viewer]), "ana");
        assert.equal(whomToAsk([owner("ana"), viewer, owner("boris")]), "ana or boris");
        assert.equal(whomToAsk([owner("ana"), owner("boris"), owner("carla")]), "ana, boris or another owner");
        assert.equal(whomToAsk([viewer]), "an owner");
        assert.equal(viewerSentence([owner("ana")]), "You can look at this project; ask ana to make you an editor.");
    });

    it("round times to what one says", () => {
        const after = (hours) => timeUntil(new Date(NOW + hours * 3_600_000).toISOString(), NOW);
        assert.equal(after(0.2), "in less than an hour");
        assert.equal(after(1.2), "in an hour");
        assert.equal(after(23.9), "in 24 hours");
        assert.equal(after(168), "in 7 days");
    });

    it("say of a link for whom, how often used, until when and by whom", () => {
        const link = { role: "editor", max_uses: null, uses: 0, expires_at: null, created_by: owner("ana") };
        assert.equal(describeLink(link, NOW), "Editors · not used yet · until revoked · by ana");
        assert.equal(describeLink({ ...link, uses: 1 }, NOW), "Editors · used once · until revoked · by ana");
        assert.equal(describeLink({ ...link, max_uses: 5, uses: 2 }, NOW), "Editors · used 2 times, at most 5 · until revoked · by ana");
        const short = { ...link, role: "viewer", max_uses: 1, expires_at: "2026-01-02T00:00:00Z" };
        assert.equal(describeLink(short, NOW), "Viewers · for one person · ends in 24 hours · by ana");
    });
});
