"""The program that the commands belong to, and what they share: progress on stderr, JSON on stdout, small parsers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from segmentation.errors import InvalidArgumentError
from segmentation.objects import is_url

if TYPE_CHECKING:
    from segmentation.rasters.remote import RemoteImage

__all__ = ["AsJson", "app", "image_argument", "integers", "report", "share_bar"]

app = typer.Typer(
    name="segmentation",
    help="Segment satellite images into nested clusters, without labels, and turn clicks into land-cover maps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # errors in one plain line, not in a box
)


@app.callback()
def _commands() -> None:
    """Keep every command a command of its own, also while there is one."""


AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def report(facts: dict[str, Any], text: str, as_json: bool) -> None:
    """Print what came out: ``facts`` as one line of JSON, or ``text``."""
    typer.echo(json.dumps(facts, allow_nan=False) if as_json else text)


@contextmanager
def share_bar(what: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr, where that is a terminal; yields a function that is told the share done, 0 to 1."""
    with tqdm(
        total=100,
        desc=what,
        unit="%",
        disable=None,
        file=sys.stderr,
        bar_format="{desc}: {percentage:3.0f} %|{bar}| {elapsed}",
    ) as bar:
        yield lambda share: _move(bar, 100 * share)


def _move(bar: tqdm, to: float) -> None:  # type: ignore[type-arg]
    bar.update(max(0.0, to - bar.n))


def image_argument(text: str) -> str | RemoteImage:
    """An image as it was named: a path as it is, a URL opened with the rights of whoever runs the command."""
    if not is_url(text):
        return text
    from segmentation.rasters.remote import open_remote

    return open_remote(text)


def integers(text: str, what: str, low: int, high: int) -> list[int]:
    """Whole numbers with commas between; none for an empty text.

    Raises
    ------
    InvalidArgumentError
        If it is anything else, or a number is outside its range.
    """
    try:
        numbers = [int(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        numbers = [low - 1]
    if not all(low <= number <= high for number in numbers):
        raise InvalidArgumentError(
            f'The {what} are "{text}"; give whole numbers from {low} to {high} with commas between.'
        )
    return numbers
