/** Members, roles and links in words. */

const HOUR = 3_600_000; // ms

/** "ana", "ana or boris", "ana, boris or another owner" */
export function whomToAsk(members) {
    const names = members.filter(({ role }) => role === "owner").map(({ name }) => name);
    if (!names.length) return "an owner";
    if (names.length <= 2) return names.join(" or ");
    return `${names.slice(0, 2).join(", ")} or another owner`;
}

/** Why a viewer cannot do a thing. */
export const viewerSentence = (members) => `You can look at this project; ask ${whomToAsk(members)} to make you an editor.`;

/** "in 3 days", "in 5 hours", "in less than an hour" */
export function timeUntil(iso, now = Date.now()) {
    const hours = (Date.parse(iso) - now) / HOUR;
    if (hours < 1) return "in less than an hour";
    if (hours < 48) return Math.round(hours) === 1 ? "in an hour" : `in ${Math.round(hours)} hours`;
    return `in ${Math.round(hours / 24)} days`;
}

/** @param {object} invite as in GET /api/projects/<id>/invites */
export function describeLink({ role, max_uses: most, uses, expires_at: expires, created_by: by }, now = Date.now()) {
    const used = uses === 0 ? "not used yet" : uses === 1 ? "used once" : `used ${uses} times`;
    const parts = [
        role === "editor" ? "Editors" : "Viewers",
        most === 1 ? "for one person" : most ? `${used}, at most ${most}` : used,
        expires ? `ends ${timeUntil(expires, now)}` : "until revoked",
        `by ${by.name}`,
    ];
    return parts.join(" · ");
}
