"""Names and colors of the numbered classes of a map, and the files that hold them."""

from __future__ import annotations

import colorsys
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.drafts import write_text
from segmentation.errors import InvalidArgumentError

__all__ = ["MAX_CLASS", "UNKNOWN", "UNKNOWN_NAME", "ClassTable", "Legend", "number_classes", "read_json"]

MAX_CLASS = 255  # maps are of one byte, 0 = no class
UNKNOWN, UNKNOWN_NAME = 255, "unknown"  # what is like nothing in the scene that the classes come from
_UNKNOWN_COLOR = "#808080"
_GOLDEN_TURN = 0.618034
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Legend:
    """``names`` and ``colors`` ("#rrggbb") by class number, 1 to 255; classes without a color get one."""

    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[int, str] = field(default_factory=dict)

    def name(self, number: int) -> str:
        """The class's name; its number as text where it has none."""
        return self.names.get(number, str(number))

    def rgb(self, number: int) -> tuple[int, int, int]:
        """The class's color; hues of numbers that follow each other lie far apart."""
        color = self.colors.get(number)
        if color is None and self.names.get(number) == UNKNOWN_NAME:
            color = _UNKNOWN_COLOR
        if color is not None:
            return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
        turn, ring = number * _GOLDEN_TURN % 1, number % 3
        red, green, blue = colorsys.hsv_to_rgb(turn, (0.55, 0.75, 0.65)[ring], (0.85, 0.7, 0.95)[ring])
        return round(255 * red), round(255 * green), round(255 * blue)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a file: ``{"classes": {"1": "water"}, "colors": {"1": "#3366cc"}}``."""
        facts: dict[str, Any] = {"classes": {str(key): self.names[key] for key in sorted(self.names)}}
        if self.colors:
            facts["colors"] = {str(key): self.colors[key] for key in sorted(self.colors)}
        return facts

    def with_unknown(self) -> Legend:
        """The same with the class "unknown".

        Raises
        ------
        InvalidArgumentError
            If its number belongs to another class.
        """
        if self.names.get(UNKNOWN, UNKNOWN_NAME) != UNKNOWN_NAME:
            raise InvalidArgumentError(
                f'Class {UNKNOWN} is "{self.names[UNKNOWN]}", but that number means "{UNKNOWN_NAME}" here; give the class '
                "another number."
            )
        return Legend({**self.names, UNKNOWN: UNKNOWN_NAME}, self.colors)

    @classmethod
    def from_dict(cls, facts: Any, source: str) -> Legend:
        """Read what `as_dict` writes; other members are passed over.

        Raises
        ------
        InvalidArgumentError
            If it is not of that form; ``source`` names the file.
        """
        shape = f'{source} is no legend; give {{"classes": {{"1": "water", "2": "forest"}}}} with numbers from 1 to 255.'
        if not isinstance(facts, dict) or not isinstance(facts.get("classes"), dict):
            raise InvalidArgumentError(shape)
        colors = facts.get("colors", {})
        if not isinstance(colors, dict):
            raise InvalidArgumentError(shape)
        names = {_number(key, shape): value for key, value in facts["classes"].items()}
        if not all(isinstance(name, str) and name.strip() for name in names.values()):
            raise InvalidArgumentError(shape)
        if len(set(names.values())) != len(names):
            raise InvalidArgumentError(f"{source} gives two classes the same name; each needs its own.")
        for color in colors.values():
            if not isinstance(color, str) or not _COLOR.fullmatch(color):
                raise InvalidArgumentError(
                    f"{source} has the color {str(color)[:40]!r}; write colors as #rrggbb."
                )
        return cls(names, {_number(key, shape): value.lower() for key, value in colors.items()})

    @classmethod
    def read(cls, path: Path) -> Legend:
        """Read a legend file."""
        return cls.from_dict(read_json(path, "legend"), f"The legend {path}")

    def write(self, path: Path) -> None:
        """Write a legend file."""
        write_text(path, json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class ClassTable:
    """The class of every leaf of a segmentation: ``classes`` uint8 (n_leaves,), 0 = none; and what they are called."""

    classes: NDArray[np.uint8]
    legend: Legend

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        facts = {**self.legend.as_dict(), "leaves": self.classes.tolist()}
        write_text(path, json.dumps(facts, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path, n_leaves: int) -> ClassTable:
        """Read what `write` wrote.

        Raises
        ------
        InvalidArgumentError
            If it is of another form, or for another number of leaves.
        """
        facts = read_json(path, "table of classes")
        legend = Legend.from_dict(facts, f"The table of classes {path}")
        leaves = facts.get("leaves")
        if not isinstance(leaves, list) or not all(
            isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_CLASS
            for value in leaves
        ):
            raise InvalidArgumentError(
                f'The table of classes {path} lacks "leaves", a list of one class number (0 to 255) for each leaf; '
                "write it with classify --table."
            )
        if len(leaves) != n_leaves:
            raise InvalidArgumentError(
                f"The table of classes {path} is for {len(leaves):,} leaves, the segmentation has {n_leaves:,}; "
                "they do not belong together."
            )
        return cls(np.array(leaves, np.uint8), legend)


def number_classes(
    values: Iterable[int | str], legend: Legend | None, source: str
) -> tuple[list[int], Legend]:
    """Give class numbers to classes that are named by numbers or by text.

    Parameters
    ----------
    values : iterable of int or str
        As they stand in the file. Where all are whole numbers, they are the class numbers; else they are names,
        numbered from 1 in alphabetical order.
    legend : Legend or None
        Known names: they keep their numbers, and others are refused.
    source : str
        Names the file in errors.

    Returns
    -------
    list of int
        Number of each value, 1 to 255.
    Legend
        ``legend`` or what was made up.

    Raises
    ------
    InvalidArgumentError
        For numbers outside 1 to 255, names that the legend lacks, or more than 255 names.
    """
    texts = [str(value).strip() for value in values]
    if not all(texts):
        raise InvalidArgumentError(f"{source} has an entry without a class; give each a number or a name.")
    if all(_is_integer(text) for text in texts):
        numbers = [int(text) for text in texts]
        wrong = next((number for number in numbers if not 1 <= number <= MAX_CLASS), None)
        if wrong is not None:
            raise InvalidArgumentError(
                f"{source} has the class {wrong}; class numbers run from 1 to {MAX_CLASS}."
            )
        if legend is not None and (missing := sorted(set(numbers) - set(legend.names))):
            raise InvalidArgumentError(
                f"{source} has the class {missing[0]}, which the legend lacks; add it."
            )
        return numbers, legend or Legend()
    if legend is None:
        names = sorted(set(texts))
        if len(names) > MAX_CLASS:
            raise InvalidArgumentError(
                f"{source} has {len(names):,} different classes; at most {MAX_CLASS} fit."
            )
        legend = Legend(dict(enumerate(names, start=1)))
    number_of = {name: number for number, name in legend.names.items()}
    unknown = next((text for text in texts if text not in number_of), None)
    if unknown is not None:
        raise InvalidArgumentError(
            f'{source} has the class "{unknown[:80]}", which the legend lacks; add it.'
        )
    return [number_of[text] for text in texts], legend


def read_json(path: Path, what: str) -> Any:
    """Parse a JSON file.

    Raises
    ------
    InvalidArgumentError
        If it cannot be read, or is no JSON; ``what`` says what it was to be.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"The {what} {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"The {what} {path} is not JSON: {error}.") from error


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,9}", text) is not None


def _number(key: str, sentence: str) -> int:
    if not _is_integer(key) or not 1 <= int(key) <= MAX_CLASS:
        raise InvalidArgumentError(sentence)
    return int(key)
