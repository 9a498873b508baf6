"""manage.py import_scene PATH_OR_URL [--owner NAME] [--name NAME] [--copy]"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command

from segmentation.objects import is_url
from segmentation.rasters.remote import open_remote
from webapp.accounts import get_or_create_user
from webapp.imagery.remote import access
from webapp.jobs.imports import import_file, import_link
from webapp.launch import LOCAL_USER, print_progress
from webapp.management.plain import PlainCommand, plain_errors
from webapp.quotas import check_room


class Command(PlainCommand):
    help = "Import a raster (GeoTIFF, JPEG 2000, PNG, JPEG; a file or a URL) as a scene."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "path", help="a file, or a URL within IMAGERY_HOSTS or IMAGERY_BUCKETS such as s3://bucket/key"
        )
        parser.add_argument(
            "--copy", action="store_true", help="copy the image of a URL also where it could be read in place"
        )
        parser.add_argument(
            "--owner", default=LOCAL_USER, help="user whose scene it becomes (created if new)"
        )
        parser.add_argument("--name", default="", help="name of the scene; the file's name if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        with plain_errors():
            call_command("migrate", verbosity=0)
            user, _ = get_or_create_user(options["owner"])
            if is_url(options["path"]):
                image = open_remote(options["path"], access())
                check_room(user, image.pin.size if options["copy"] else 0)
                with print_progress(self.stderr, f"Importing {image.name}") as progress:
                    scene = import_link(
                        user, image, name=options["name"], copy=options["copy"] or None, progress=progress
                    )
            else:
                path = Path(options["path"]).expanduser()
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
