/** Which features a new segmentation is to have: the filter bank's, learned from the scene, or a network's. */
import * as api from "../api.js";
import { promptDialog } from "../pages/dialogs.js";
import { toast } from "../toast.js";
import { byId, byTestId, confirmDialog, el, setMessage } from "./dom.js";

const GENERAL = "general"; // the network that comes with ClusterNet
const GENERAL_ROLES = ["blue,green,red", "blue,green,nir,red"]; // that it knows, sorted

const bandCount = (count) => (count === 1 ? "1 band" : `${count} bands`);

/** "learned from Town · 600 steps · 3 bands · 520 kB" */
export function networkFacts(network) {
    const parts = [network.scene_name ? `learned from ${network.scene_name}` : network.scene === null && network.bands.length ? "its scene was deleted" : "uploaded"];
    if (network.training.steps) parts.push(`${Number(network.training.steps).toLocaleString("en")} steps`);
    parts.push(bandCount(network.n_bands));
    const named = network.bands.map(({ name, role }) => name || role).filter(Boolean);
    if (named.length && named.length <= 8) parts.push(named.join(", "));
    parts.push(`${Math.max(1, Math.round(network.size_bytes / 1000)).toLocaleString("en")} kB`);
    return parts.join(" · ");
}

/**
 * Fields of a new segmentation's parameters.
 * @param {{features: string, seconds: number | null, network: string, further: boolean}} chosen
 * @returns {{mode: string, train_seconds: number | null, network: number | null}}
 */
export function learningParameters({ features, seconds, network, further }) {
    if (features === "learn") return { mode: "best", train_seconds: seconds, network: null };
    if (features !== "network") return { mode: "fast", train_seconds: null, network: null };
    if (!network) throw new Error("No network is chosen; choose one that fits the bands, upload one, or learn from this scene.");
    const id = network === GENERAL ? null : Number(network);
    if (further) return { mode: "best", train_seconds: seconds, network: id };
    // Without a network of its own, mode "best" applies the one that comes along.
    return id === null ? { mode: "best", train_seconds: 0, network: null } : { mode: "fast", train_seconds: null, network: id };
}

export function networksField(state, form, chosenBands) {
    const select = byTestId("network-select");
    const seconds = byTestId("learn-seconds");
    let networks = [];

    const features = () => form.elements.features.value;
    const chosen = () => networks.find(({ id }) => String(id) === select.value) ?? null;

    function generalFits(bands) {
        const roles = bands.map((band) => state.scene.info.band_roles[band - 1]).sort();
        return GENERAL_ROLES.includes(roles.join());
    }

    function show() {
        const bands = chosenBands();
        const before = select.value;
        const options = networks.map((network) => {
            const fits = network.n_bands === bands.length;
            const text = fits ? network.name : `${network.name} (${bandCount(network.n_bands)})`;
            return el("option", { value: String(network.id), disabled: !fits }, text);
        });
        if (generalFits(bands)) options.push(el("option", { value: GENERAL }, "General network (comes with ClusterNet)"));
        if (!options.length) options.push(el("option", { value: "", disabled: true, selected: true }, "None yet"));
        select.replaceChildren(...options);
        const usable = options.filter((option) => !option.disabled);
        select.value = usable.some((option) => option.value === before) ? before : (usable[0]?.value ?? "");
        showChosen();
    }

    function showChosen() {
        const network = chosen();
        const kind = features();
        const further = byTestId("network-further").checked;
        byId("learn-field").hidden = !(kind === "learn" || (kind === "network" && further));
        byId("network-field").hidden = kind !== "network";
        for (const name of ["network-rename", "network-delete"]) byTestId(name).disabled = !network;
        const link = byTestId("network-download");
        link.hidden = !network;
        if (network) link.href = `/api/networks/${network.id}/file`;
        const general = select.value === GENERAL ? "learned from images of several places" : "";
        setMessage(byTestId("network-facts"), network ? networkFacts(network) : general);
    }

    async function load(wanted = null) {
        try {
            networks = await api.get("/api/networks");
        } finally {
            show();
        }
        if (wanted !== null) select.value = String(wanted);
        showChosen();
    }

    async function attempt(action) {
        try {
            await action();
        } catch (error) {
            setMessage(byId("segmentation-error"), error.message);
        }
    }

    byTestId("network-rename").addEventListener("click", () =>
        attempt(async () => {
            const network = chosen();
            const name = await promptDialog({ title: "Rename the network", label: "Name", value: network.name, action: "Rename" });
            if (name === null || name === network.name) return;
            await api.patch(`/api/networks/${network.id}`, { name });
            await load(network.id);
        }),
    );
    byTestId("network-delete").addEventListener("click", () =>
        attempt(async () => {
            const network = chosen();
            const text = "Segmentations that were made with it stay as they are. This cannot be undone.";
            if (!(await confirmDialog(`Delete ${network.name}?`, text))) return;
            await api.del(`/api/networks/${network.id}`);
            await load();
        }),
    );
    byTestId("network-upload").addEventListener("change", (event) =>
        attempt(async () => {
            const [file] = event.target.files;
            event.target.value = ""; // so that the same file can be chosen again
            if (!file) return;
            const query = new URLSearchParams({ name: file.name });
            const answer = await api.fetchText("POST", `/api/networks?${query}`, file, "application/octet-stream");
            const network = await answer.json();
            await load(network.id);
            toast(`${network.name} was uploaded.`);
        }),
    );
    select.addEventListener("change", showChosen);
    form.addEventListener("change", (event) => {
        if (event.target.name === "features" || event.target.dataset.testid === "network-further") showChosen();
        if (event.target.name === "band") show();
    });

    return {
        /** Begin with the filter bank, and fetch the networks. */
        open() {
            form.elements.features.value = "bank";
            byTestId("network-further").checked = false;
            seconds.value = "";
            networks = [];
            select.replaceChildren();
            showChosen();
            return attempt(load);
        },
        parameters() {
            if (!seconds.checkValidity()) {
                throw new Error(`The training must last ${seconds.min} to ${seconds.max} seconds, or nothing for automatic.`);
            }
            const [network, further] = [select.value, byTestId("network-further").checked];
            return learningParameters({ features: features(), seconds: seconds.value === "" ? null : Number(seconds.value), network, further });
        },
    };
}
