"""What `clicks_to_accuracy.py` measured, as a page of Markdown and a plot."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

OURS = ("ours", "ours, as in the app", "ours, without learning")
# Order, color and marker in the plot; colors that also color-blind readers tell apart (Okabe & Ito 2008).
STYLES = {
    "ours": ("#d55e00", "o"),
    "ours, as in the app": ("#e69f00", "s"),
    "ours, without learning": ("#cc79a7", "d"),
    "forest on filter bank": ("#0072b2", "^"),
    "forest on bands": ("#56b4e9", "v"),
    "K-means on bands": ("#009e73", "D"),
    "ClusterNet 2019, rest by nearest cluster": ("#555555", "P"),
    "ClusterNet 2019": ("#999999", "X"),
}

Results = dict[str, Any]


def means(entry: Results, budgets: Sequence[int]) -> dict[str, dict[int, tuple[float, float, float]]]:
    """Method -> budget -> mean accuracy, mean IoU, and the standard error of the accuracy over users."""
    found: dict[str, dict[int, tuple[float, float, float]]] = {}
    for group in entry["groups"].values():
        for name, method in group["methods"].items():
            for budget in budgets:
                # JSON turned the budgets into text.
                scores = np.array([run[str(budget)] for run in method["runs"] if str(budget) in run])
                if len(scores):
                    error = scores[:, 0].std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0
                    mean = scores.mean(axis=0)
                    found.setdefault(name, {})[budget] = (float(mean[0]), float(mean[1]), float(error))
    return {name: found[name] for name in STYLES if name in found}


def markdown(results: Results, budgets: Sequence[int]) -> str:
    """The whole page."""
    seeds = sorted({group["seeds"] for entry in results.values() for group in entry["groups"].values()})
    lines = [
        "# Quality: how good the map is after a few clicks",
        "",
        (
            f"Written by `python benchmarks/clicks_to_accuracy.py --docs docs` on {datetime.now(UTC):%Y-%m-%d}, "
            f"{os.cpu_count()} cores of a shared {platform.machine()} machine. "
            f"Simulated users: {' or '.join(map(str, seeds))} for each method and image. Cells: overall accuracy / mean IoU; "
            "a pixel without class is wrong; budgets below the number of classes are left out. **Bold**: best of the column."
        ),
        "",
        (
            "Images marked \\* were looked at while decoder or features were tuned, all others only here. The networks that "
            "learning starts from have seen all these images but Indian Pines, without labels; ADR 0007 tells what they bring "
            "to places that they have not seen."
        ),
        "",
        "![Accuracy over clicks](images/clicks_to_accuracy.svg)",
        "",
    ]
    for entry in results.values():
        lines += _image_table(entry, budgets)
    lines += _summary(results, budgets)
    lines += _costs(results)
    return "\n".join(lines) + "\n"


def _title(entry: Results) -> str:
    some = next(iter(entry["groups"].values()))
    star = r" \*" if entry["is_tuned_on"] else ""
    return f"{entry['title']}{star} ({some['megapixels']:.2f} megapixels, {len(some['classes'])} classes)"


def _image_table(entry: Results, budgets: Sequence[int]) -> list[str]:
    found = means(entry, budgets)
    shown = [budget for budget in budgets if any(budget in scores for scores in found.values())]
    lines = [f"## {_title(entry)}", "", "| method | " + " | ".join(f"{n} clicks" for n in shown) + " |"]
    lines.append("|---" * (len(shown) + 1) + "|")
    best = {
        budget: [
            max(scores[budget][part] for scores in found.values() if budget in scores) for part in (0, 1)
        ]
        for budget in shown
    }
    for name, scores in found.items():
        cells = []
        for budget in shown:
            parts = [
                f"**{scores[budget][part]:.3f}**"
                if scores[budget][part] == best[budget][part]
                else f"{scores[budget][part]:.3f}"
                for part in (0, 1)
            ]
            cells.append(f"{parts[0]} / {parts[1]} ± {scores[budget][2]:.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _summary(results: Results, budgets: Sequence[int]) -> list[str]:
    """Ours less the best peer, on average."""
    lines = [
        "## Ours beside the best peer",
        "",
        "Difference in overall accuracy / mean IoU to the peer that is best at that budget on that image.",
        "",
        "| image | " + " | ".join(f"{budget} clicks" for budget in budgets) + " |",
        "|---" * (len(budgets) + 1) + "|",
    ]
    held_out: dict[int, list[tuple[float, float]]] = {budget: [] for budget in budgets}
    for entry in results.values():
        found = means(entry, budgets)
        peers = {name: scores for name, scores in found.items() if name not in OURS}
        if "ours" not in found or not peers:
            continue
        cells = []
        for budget in budgets:
            rivals = [scores[budget] for scores in peers.values() if budget in scores]
            if budget not in found["ours"] or not rivals:
                cells.append("")
                continue
            gain = tuple(
                found["ours"][budget][part] - max(rival[part] for rival in rivals) for part in (0, 1)
            )
            cells.append(f"{gain[0]:+.3f} / {gain[1]:+.3f}")
            if not entry["is_tuned_on"]:
                held_out[budget].append((gain[0], gain[1]))
        lines.append(f"| {entry['title']}{_star(entry)} | " + " | ".join(cells) + " |")
    cells = []
    for budget in budgets:
        mean = np.mean(held_out[budget], axis=0) if held_out[budget] else None
        cells.append("" if mean is None else f"{mean[0]:+.3f} / {mean[1]:+.3f}")
    lines += ["| mean of the held out | " + " | ".join(cells) + " |", ""]
    return lines


def _star(entry: Results) -> str:
    return r" \*" if entry["is_tuned_on"] else ""


def _costs(results: Results) -> list[str]:
    lines = [
        "## What it costs",
        "",
        (
            "First overlay: what is on the map before the first click (forests have nothing to show until then). Preparing: "
            "all that happens once for each image, learning included; megapixels/s is without learning. One click: median time "
            "from click to whole map. Peak memory is that of a whole process, Python and its packages included."
        ),
        "",
        "| image | methods | device | s to first overlay | s preparing | s of these learning | megapixels/s | ms a click | peak MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in results.values():
        for group in entry["groups"].values():
            first = "" if group["first_s"] is None else f"{group['first_s']:.1f}"
            rest = max(group["prepare_s"] - group["learning_s"], 1e-9)
            clicks = " / ".join(f"{method['click_s'] * 1e3:.0f}" for method in group["methods"].values())
            lines.append(
                f"| {entry['title']} | {', '.join(group['methods'])} | {group['device']} | {first} | {group['prepare_s']:.1f} "
                f"| {group['learning_s']:.1f} | {group['megapixels'] / rest:.2f} | {clicks} | {group['peak_bytes'] / 1e6:.0f} |"
            )
    return [*lines, ""]


def plot(results: Results, budgets: Sequence[int], path: Path) -> None:
    """One panel an image: clicks on the x axis, overall accuracy on the y axis, a line for each method."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "clicks"  # the same results give the same file
    from matplotlib import pyplot

    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(4.2 * columns, 3.4 * rows + 0.8), squeeze=False, layout="constrained"
    )
    handles: dict[str, Any] = {}
    for panel, entry in zip(panels.flat, results.values(), strict=False):
        for name, scores in reversed(means(entry, budgets).items()):
            color, marker = STYLES[name]
            handles[name] = panel.errorbar(
                list(scores), [score[0] for score in scores.values()], [score[2] for score in scores.values()],
                color=color, marker=marker, linewidth=2.2 if name in OURS else 1.3, markersize=5, capsize=2, label=name,
            )  # fmt: skip
        panel.set_title(entry["title"] + (" *" if entry["is_tuned_on"] else ""), fontsize=11)
        panel.set_xlabel("clicks")
        panel.set_ylabel("overall accuracy")
        panel.set_xticks(list(budgets))
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels.flat[len(results) :]:
        panel.set_axis_off()
    order = [name for name in STYLES if name in handles]
    figure.legend([handles[name] for name in order], order, loc="outside lower center", ncols=3, fontsize=9)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
