/** Draw, upload or clear the area of interest. */
import { parseAreaOfInterest } from "../model/geometry.js";
import { toast } from "../toast.js";
import { byId, byTestId } from "./dom.js";

const HINT = "Click the corners one after the other; click the first one again to finish, Esc to stop.";

export function areaPanel(state, area, tools, commands) {
    const draw = byTestId("aoi-draw");
    const upload = byTestId("aoi-upload");
    const clear = byTestId("aoi-clear");
    let takeHintAway = () => {};

    function show() {
        area.show(state.aoi);
        clear.disabled = !state.aoi;
        byId("area-status").textContent = state.aoi ? "Part of the scene; the rest is dimmed." : "The whole scene.";
    }

    draw.addEventListener("click", async () => {
        if (area.stop()) return;
        const geometry = await area.draw();
        if (geometry) commands.setAreaOfInterest(geometry);
    });
    area.on("drawing", (drawing) => {
        tools.setBlocked(drawing);
        draw.setAttribute("aria-pressed", String(drawing));
        draw.lastChild.textContent = drawing ? "Stop drawing" : "Draw";
        takeHintAway();
        if (drawing) takeHintAway = toast(HINT, { seconds: 60 }); // it goes when the drawing ends
    });
    upload.addEventListener("change", async () => {
        const [file] = upload.files;
        upload.value = ""; // so that the same file can be chosen again
        if (!file) return;
        try {
            commands.setAreaOfInterest(parseAreaOfInterest(await file.text(), Boolean(state.scene.info.crs)));
        } catch (error) {
            toast(`${file.name}: ${error.message}`, { kind: "danger" });
        }
    });
    clear.addEventListener("click", () => commands.setAreaOfInterest(null));
    state.on("aoi", show);
    if (state.project) show();
}
