"""manage.py import_scene PATH [--owner NAME] [--name NAME]"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command

from webapp.accounts import get_or_create_user
from webapp.jobs.imports import import_file
from webapp.launch import LOCAL_USER, print_progress
from webapp.management.plain import PlainCommand, plain_errors
from webapp.quotas import check_room


class Command(PlainCommand):
    help = "Import a raster (GeoTIFF, JPEG 2000, PNG, JPEG) as a scene."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument(
            "--owner", default=LOCAL_USER, help="user whose scene it becomes (created if new)"
        )
        parser.add_argument("--name", default="", help="name of the scene; the file's name if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["path"].expanduser()
        with plain_errors():
            call_command("migrate", verbosity=0)
            user, _ = get_or_create_user(options["owner"])
            if path.is_file():
                check_room(user, path.stat().st_size)
            with print_progress(self.stderr, f"Importing {path.name}") as progress:
                scene = import_file(user, path, name=options["name"], progress=progress)
        info = scene.info
        self.stdout.write(
            f"Scene {scene.pk}, {scene.name}: {info['width']} x {info['height']} pixels, "
            f"{info['n_bands']} bands, {info['crs'] or 'no coordinate reference system'}."
        )
        for remark in info.get("remarks", []):
            self.stdout.write(remark)
