/** Bands, stretch, index and opacity of the imagery; base map. */
import { bandLabel, checkStretch, dataBands, defaultStretch, indices, presets, tileQuery } from "../model/bands.js";
import { byId, byTestId, el, remembered, setMessage } from "./dom.js";

const DEFAULT_PERCENT = [2, 98]; // the percentiles that the scene description holds
const CUSTOM = "custom";

/** Values at two percentages of each band's range, which runs straight through its 2nd and 98th percentile. */
function atPercent({ low, high }, percent) {
    const [from, to] = DEFAULT_PERCENT;
    const at = (share) => low.map((value, i) => value + ((share - from) / (to - from)) * (high[i] - value));
    return { low: at(percent[0]), high: at(percent[1]) };
}

export function imageryPanel(map, imagery, scene, basemap) {
    const { info } = scene;
    const preset = byTestId("imagery-preset");
    const index = byTestId("imagery-index");
    const bandSelects = ["red", "green", "blue"].map((name) => byTestId(`imagery-${name}`));
    const unit = byId("imagery-stretch-unit");
    const limits = [byTestId("imagery-stretch-low"), byTestId("imagery-stretch-high")];
    const opacity = byTestId("imagery-opacity");
    const choices = presets(info);

    const options = (entries) => entries.map(([value, text]) => el("option", { value, textContent: text }));
    preset.append(...options([...choices.map(({ id, label }) => [id, label]), [CUSTOM, "Other bands"]]));
    index.append(...options([["", "None"], ...indices(info).map(({ id, label }) => [id, label])]));
    byId("imagery-index-field").hidden = indices(info).length === 0;
    for (const select of bandSelects) {
        select.append(...options(dataBands(info).map((band) => [String(band), bandLabel(info, band)])));
    }

    const bands = () => bandSelects.map((select) => Number(select.value));

    function setPercentDefaults() {
        unit.value = "percent";
        limits.forEach((input, i) => (input.value = DEFAULT_PERCENT[i]));
    }

    function stretch() {
        const [low, high] = limits.map((input) => (input.value === "" ? NaN : Number(input.value)));
        checkStretch(low, high);
        if (unit.value === "percent") return atPercent(defaultStretch(info, bands()), [low, high]);
        return { low: [low, low, low], high: [high, high, high] };
    }

    function apply() {
        try {
            imagery.setQuery(tileQuery(info, { bands: bands(), index: index.value || null, ...stretch() }));
            setMessage(byId("imagery-stretch-error"), "");
        } catch (error) {
            setMessage(byId("imagery-stretch-error"), error.message);
        }
        const isIndex = index.value !== "";
        byId("imagery-bands").disabled = isIndex;
        byId("imagery-stretch").disabled = isIndex;
    }

    function choosePreset() {
        const chosen = choices.find(({ id }) => id === preset.value);
        chosen?.bands.forEach((band, i) => (bandSelects[i].value = String(band)));
        index.value = "";
        apply();
    }

    function changeUnit() {
        const { low, high } = defaultStretch(info, bands());
        if (unit.value === "percent") setPercentDefaults();
        else [Math.min(...low), Math.max(...high)].forEach((value, i) => (limits[i].value = value));
        apply();
    }

    preset.addEventListener("change", choosePreset);
    index.addEventListener("change", apply);
    unit.addEventListener("change", changeUnit);
    for (const input of limits) input.addEventListener("change", apply);
    for (const select of bandSelects) {
        select.addEventListener("change", () => {
            const same = choices.find((choice) => choice.bands.join() === bands().join());
            preset.value = same?.id ?? CUSTOM;
            index.value = "";
            apply();
        });
    }
    opacity.addEventListener("input", () => {
        byId("imagery-opacity-value").textContent = `${opacity.value}%`;
        imagery.setOpacity(opacity.value / 100);
    });
    if (basemap) {
        const field = byId("imagery-basemap-field");
        const box = byTestId("imagery-basemap");
        field.hidden = false;
        box.checked = remembered.get("basemap", true);
        imagery.showBasemap(box.checked);
        box.addEventListener("change", () => {
            remembered.set("basemap", box.checked);
            imagery.showBasemap(box.checked);
        });
    }
    byId("imagery-remarks").replaceChildren(...(info.remarks ?? []).map((remark) => el("li", {}, remark)));
    setPercentDefaults();
    preset.value = choices[0].id;
    choosePreset();
}
