"""The command line of the library: one module for each group of commands.

What takes seconds to import (torch and its friends) is imported inside the commands that need it.
"""

from __future__ import annotations

import sys

import typer

from segmentation.cli import apply as _apply  # noqa: F401  # each import adds its commands to `app`
from segmentation.cli import assess as _assess  # noqa: F401
from segmentation.cli import classify as _classify  # noqa: F401
from segmentation.cli import clusters_to_classes as _clusters_to_classes  # noqa: F401
from segmentation.cli import evaluate as _evaluate  # noqa: F401
from segmentation.cli import patches as _patches  # noqa: F401
from segmentation.cli import rasterize as _rasterize  # noqa: F401
from segmentation.cli import segment as _segment  # noqa: F401
from segmentation.cli import train as _train  # noqa: F401
from segmentation.cli.app import app
from segmentation.errors import InvalidArgumentError, SegmentationError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; what goes wrong is one sentence, exit code 2 for bad arguments and 1 otherwise."""
    try:
        app()
    except InvalidArgumentError as error:
        typer.echo(str(error), err=True)
        sys.exit(2)
    except SegmentationError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
