"""How good the map is after 10, 20 and 40 clicks, beside what a user would pick instead.

    python benchmarks/clicks_to_accuracy.py                               # the images of ../shared/data, into docs/
    python benchmarks/clicks_to_accuracy.py --only t1 --groups ours       # one image, one group of methods
    python benchmarks/clicks_to_accuracy.py --image A.tif --truth B.tif   # your own image, table on the screen

A simulated user clicks each class once and then where the map is wrong (see `clicking`); all methods (see
`classifiers`) get the same user. Truth serves to click and to score. Each image and group of methods is a process of its
own, so that memory is theirs alone. Results are kept in ``--json`` after each: a run that was cut short goes on there.

Images marked * were looked at while decoder or features were tuned (see docs/decisions/0007 and 0009); "held out" leaves them out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import rasterio
from classifiers import GROUPS, Prepared
from clicking import Task, load_task, simulate

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Image:
    """One image to measure: paths below the data folder, corner of the crop, whether the decoder was tuned on it."""

    title: str
    image: str
    truth: str
    offset: tuple[int, int] = (0, 0)
    is_tuned_on: bool = False


_DUBAI = "dubai_mbrsc/tile{0}_rgb.tif", "dubai_mbrsc/tile{0}_gt.tif"
IMAGES = {
    "t1": Image("Dubai 1, RGB", *(name.format(1) for name in _DUBAI)),
    "t6": Image("Dubai 6, RGB", *(name.format(6) for name in _DUBAI), offset=(600, 600)),
    "zion": Image(
        "Zion, Landsat", "zion_l8_nlcd/zion_l8_b2345.tif", "zion_l8_nlcd/zion_nlcd_gt.tif", is_tuned_on=True
    ),
    "chesapeake": Image(
        "Chesapeake, RGB + NIR",
        "chesapeake_wv/wv_naip_mosaic_rgbn.tif",
        "chesapeake_wv/wv_lc_gt.tif",
        is_tuned_on=True,
    ),
    "pines": Image(
        "Indian Pines, 200 bands", "indian_pines/indian_pines_200band.tif", "indian_pines/indian_pines_gt.tif"
    ),
}


def measure(task: Task, group: str, options: argparse.Namespace) -> dict[str, Any]:
    """Prepare one group of methods and let the users click; what comes back goes through JSON."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options.mode,) if group == "ours" else ()
        prepared: Prepared = GROUPS[group](task, Path(folder), *arguments)
        methods = {}
        for name, predict in prepared.predictors.items():
            runs = [
                simulate(lambda clicks, p=predict, s=seed: p(clicks, s), task.truth, task.n_classes, options.clicks, seed)  # type: ignore[misc]
                for seed in range(options.seeds)
            ]  # fmt: skip
            seconds = sorted(second for run in runs for second in run.seconds)
            methods[name] = {"runs": [run.scores for run in runs], "click_s": seconds[len(seconds) // 2]}
    return {
        "methods": methods,
        "prepare_s": prepared.prepare_s,
        "first_s": prepared.first_s,
        "learning_s": prepared.learning_s,
        "device": prepared.device,
        "megapixels": task.truth.size / 1e6,
        "classes": task.class_names,
        "seeds": options.seeds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def in_a_process(
    image: Path, truth: Path, offset: tuple[int, int], group: str, options: argparse.Namespace
) -> Any:
    """`measure` in a process of its own."""
    command = [
        sys.executable, __file__, "--child", group, "--image", str(image), "--truth", str(truth),
        "--size", str(options.size), "--offset", *map(str, offset), "--seeds", str(options.seeds),
        "--clicks", *map(str, options.clicks), "--mode", options.mode,
    ]  # fmt: skip
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{group} failed on {image}; its message is above.")
    return json.loads(done.stdout.splitlines()[-1])


def child(options: argparse.Namespace) -> None:
    """What a process of `in_a_process` does: measure one group on one image and print it."""
    with tempfile.TemporaryDirectory() as folder:
        offset = (options.offset[0], options.offset[1])
        task = load_task("scene", options.image, options.truth, Path(folder), _crop(options), offset)
        print(json.dumps(measure(task, options.child, options)))


def _crop(options: argparse.Namespace) -> int:
    """Side of the crop, 0 where the image is no larger."""
    with rasterio.open(options.image) as source:
        row, col = options.offset
        if not (0 <= row < source.height and 0 <= col < source.width):
            raise SystemExit(
                f"Row {row}, column {col} is outside the image of {source.height} x {source.width} pixels."
            )
        fits = row + options.size <= source.height and col + options.size <= source.width
        if not fits and (row or col):
            raise SystemExit(
                f"A crop of {options.size} pixels from row {row}, column {col} leaves the image of "
                f"{source.height} x {source.width} pixels; choose a smaller --size or --offset."
            )
    return options.size if fits else 0


def main() -> None:
    options = parse()
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    if options.child:
        child(options)
        return
    if options.image:
        chosen = {"own": (options.image.name, options.image, options.truth, tuple(options.offset), False)}
    else:
        if not DATA.is_dir():
            raise SystemExit(f"There are no images at {DATA}; name your own with --image and --truth.")
        chosen = {
            key: (found.title, DATA / found.image, DATA / found.truth, found.offset, found.is_tuned_on)
            for key, found in IMAGES.items()
            if key in (options.only or IMAGES)
        }
    kept = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for key, (title, image, truth, offset, is_tuned_on) in chosen.items():
        entry = kept.setdefault(key, {"title": title, "is_tuned_on": is_tuned_on, "groups": {}})
        for group in options.groups:
            if group in entry["groups"] and group not in options.again:
                continue
            print(f"{title}: {group} ...", file=sys.stderr, flush=True)
            entry["groups"][group] = in_a_process(image, truth, offset, group, options)
            if options.json:
                options.json.write_text(json.dumps(kept, indent=1) + "\n")
    from clicks_report import markdown, plot

    text = markdown(kept, options.clicks)
    if options.docs:
        options.docs.mkdir(parents=True, exist_ok=True)
        (options.docs / "images").mkdir(exist_ok=True)
        plot(kept, options.clicks, options.docs / "images" / "clicks_to_accuracy.svg")
        (options.docs / "quality.md").write_text(text)
    print(text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(IMAGES), help="of the images in ../shared/data")
    parser.add_argument("--image", type=Path, help="your own image ...")
    parser.add_argument("--truth", type=Path, help="... and its classes on the same grid, 0 = unknown")
    parser.add_argument("--groups", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument(
        "--again", nargs="+", choices=list(GROUPS), default=[], help="measure anew although --json has it"
    )
    parser.add_argument("--clicks", nargs="+", type=int, default=[10, 20, 40], help="budgets")
    parser.add_argument("--seeds", type=int, default=3, help="simulated users")
    parser.add_argument("--size", type=int, default=900, help="side of the crop in pixels, 0 = whole image")
    parser.add_argument("--offset", nargs=2, type=int, default=[0, 0], metavar=("ROW", "COL"))
    parser.add_argument("--mode", choices=["best", "fast"], default="best", help="of segment()")
    parser.add_argument("--json", type=Path, help="results are kept here, and not measured twice")
    parser.add_argument("--docs", type=Path, help="write quality.md and its plot into this folder")
    parser.add_argument("--child", choices=list(GROUPS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if (options.image is None) != (options.truth is None):
        parser.error("--image and --truth go together: name both or neither.")
    if options.seeds < 1 or min(options.clicks) < 1 or options.size < 0:
        parser.error("--seeds and --clicks must be 1 or more, --size 0 or more.")
    for path in (options.image, options.truth):
        if path is not None and not path.exists():
            parser.error(f"There is no file {path}.")
    return options


if __name__ == "__main__":
    main()
