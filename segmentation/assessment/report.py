"""An assessment as JSON and as tables for people."""

from __future__ import annotations

import math
from typing import Any

from segmentation.assessment.estimates import Assessment, Estimate
from segmentation.legend import Legend

__all__ = ["as_dict", "as_text"]


def as_dict(
    assessment: Assessment, legend: Legend, area_m2: float | None = None, confidence: float = 0.95
) -> dict[str, Any]:
    """Ready for JSON: NaN becomes null.

    Parameters
    ----------
    assessment : Assessment
    legend : Legend
        Names of the classes.
    area_m2 : float or None
        Of all strata together, square meters, from which areas of the classes follow; None: shares alone.
    confidence : float
        Of the intervals, between 0 and 1.
    """

    def told(estimate: Estimate, scale: float = 1.0) -> dict[str, float | None]:
        return {
            "value": _or_none(scale * estimate.value),
            "standard_error": _or_none(scale * estimate.standard_error),
            "half_width": _or_none(scale * estimate.half_width(confidence)),
        }

    classes = []
    for one in assessment.classes:
        facts: dict[str, Any] = {
            "class": one.number,
            "name": legend.name(one.number),
            "points_mapped": one.n_mapped,
            "points_reference": one.n_reference,
            "users_accuracy": told(one.users),
            "producers_accuracy": told(one.producers),
            "f1": _or_none(one.f1),
            "iou": _or_none(one.iou),
            "mapped_share": one.mapped_share,
            "share": told(one.share),
        }
        if area_m2 is not None:
            facts |= {"mapped_area_m2": area_m2 * one.mapped_share, "area_m2": told(one.share, area_m2)}
        classes.append(facts)
    return {
        "points": int(assessment.counts.sum()),
        "confidence": confidence,
        "overall_accuracy": told(assessment.overall),
        "kappa": _or_none(assessment.kappa),
        "classes": classes,
        "confusion": {
            "classes": assessment.numbers.tolist(),
            "counts": assessment.counts.tolist(),
            "proportions": assessment.proportions.tolist(),
        },
    }


def as_text(
    assessment: Assessment, legend: Legend, area_m2: float | None = None, confidence: float = 0.95
) -> str:
    """Tables for people; arguments as for `as_dict`."""
    wide = max(5, *(len(legend.name(number)) for number in assessment.numbers.tolist()))
    lines = [
        f"{int(assessment.counts.sum()):,} points; intervals at {confidence:.0%}.",
        f"overall accuracy {_interval(assessment.overall, confidence)}   kappa {_digits(assessment.kappa)}",
        "",
        (
            f"{'class':<{wide}}  {'users acc.':>15}  {'producers acc.':>15}      F1     IoU  {'area, mapped':>16}"
            f"  {'area, estimated':>30}"
        ),
    ]
    for one in assessment.classes:
        lines.append(
            f"{legend.name(one.number):<{wide}}  {_interval(one.users, confidence):>15}  {_interval(one.producers, confidence):>15}"
            f"  {_digits(one.f1):>6}  {_digits(one.iou):>6}  {_area(one.mapped_share, area_m2):>16}"
            f"  {_area_interval(one.share, area_m2, confidence):>30}"
        )
    return "\n".join([*lines, "", *_matrix(assessment, legend, wide)])


def _matrix(assessment: Assessment, legend: Legend, wide: int) -> list[str]:
    names = [legend.name(number) if number else "no class" for number in assessment.numbers.tolist()]
    first = max(17, wide, 8)
    columns = [max(8, len(name[:12])) for name in names]
    lines = [
        f"{'mapped, reference':<{first}}  "
        + "  ".join(f"{name[:12]:>{column}}" for name, column in zip(names, columns, strict=True))
    ]
    for name, row in zip(names, assessment.counts.tolist(), strict=True):
        lines.append(
            f"{name:<{first}}  "
            + "  ".join(f"{value:>{column},}" for value, column in zip(row, columns, strict=True))
        )
    return lines


def _interval(estimate: Estimate, confidence: float) -> str:
    if math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.3f} ± {estimate.half_width(confidence):.3f}"


def _area(share: float, area_m2: float | None) -> str:
    return f"{share:.2%}" if area_m2 is None else f"{share * area_m2 / 10_000:,.1f} ha"


def _area_interval(share: Estimate, area_m2: float | None, confidence: float) -> str:
    half = share.half_width(confidence)
    if area_m2 is None:
        return f"{share.value:.2%} ± {half:.2%}"
    return f"{share.value * area_m2 / 10_000:,.1f} ± {half * area_m2 / 10_000:,.1f} ha"


def _digits(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
