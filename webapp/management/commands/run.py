"""manage.py run: what `make run` starts."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from segmentation.rasters.demo import DEMOS, fetch_demo
from webapp import launch, storage
from webapp.accounts import get_or_create_user, make_sign_in_path
from webapp.editing.projects import create_project
from webapp.jobs.imports import import_file
from webapp.management.plain import PlainCommand, plain_errors
from webapp.models import Project, Scene
from webapp.quotas import check_room
from webapp.services import check_services


class Command(PlainCommand):
    help = "Start ClusterNet and print the link to open; the first time with a demo scene, or with --image."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--image", default="", help="raster to import and open (GeoTIFF, JPEG 2000, PNG, JPEG)"
        )
        parser.add_argument("--demo", default="", choices=["", *DEMOS], help="demo scene to fetch and open")
        parser.add_argument("--no-browser", action="store_true", help="do not open a browser")

    def handle(self, *args: Any, **options: Any) -> None:
        with plain_errors():
            image = self._image(options["image"])
            # The port first: whoever has to choose another one should not wait for an import to hear it.
            listener = launch.bind(settings.HOST, settings.PORT)
            try:
                check_services()
                page, user = self._prepare(image, options["demo"])
                link = launch.remember_url() + make_sign_in_path(user, page)
                from webapp.asgi import application  # loads the job engine; not needed for the errors above
            except BaseException:
                listener.close()
                raise

            def announce() -> None:
                self.stdout.write(
                    f"ClusterNet is running; Ctrl+C stops it. Open this link, which works once:\n{link}"
                )
                self.stdout.flush()
                if not options["no_browser"]:
                    launch.open_browser(link)

            launch.serve(application, listener, announce)

    def _image(self, text: str) -> Path | None:
        if not text:
            return None
        path = Path(text).expanduser()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise CommandError(f"IMAGE={text} {what}; give the path of one image file.")
        return path

    def _prepare(self, image: Path | None, demo: str) -> tuple[str, User]:
        """Database, user, scene and project; the path of the page to open."""
        call_command("migrate", verbosity=0)
        storage.sweep()
        user, _ = get_or_create_user(launch.LOCAL_USER)
        if not user.is_staff:  # whoever starts the server looks after its accounts, too
            user.is_staff = True
            user.save(update_fields=["is_staff"])
        project = None
        if image is not None:
            project = self._project_of(user, image)
        elif demo or not Scene.objects.filter(owner=user).exists():
            project = self._demo_project(user, demo or "sentinel2")
        return launch.start_page(user, project), user

    def _demo_project(self, user: User, name: str) -> Project:
        self.stderr.write("Fetching the demo scene ...")
        demo = fetch_demo(settings.DATA_DIR / "demo", name)
        if demo.remark:
            self.stderr.write(demo.remark)
        return self._project_of(user, demo.path, name=demo.title, attribution=demo.attribution)

    def _project_of(self, user: User, image: Path, *, name: str = "", attribution: str = "") -> Project:
        record = launch.ImportRecord()
        scene = record.find(user, image)
        if scene is None:
            check_room(user, image.stat().st_size)
            with launch.print_progress(self.stderr, f"Importing {name or image.name}") as progress:
                scene = import_file(user, image, name=name, attribution=attribution, progress=progress)
            record.add(image, scene)
        return scene.projects.first() or create_project(user, scene, scene.name)
