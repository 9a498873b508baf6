"""manage.py sweep [--dry-run]"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from webapp import storage
from webapp.management.plain import PlainCommand, plain_errors
from webapp.quotas import format_bytes


class Command(PlainCommand):
    help = "Remove files that belong to nothing, abandoned uploads and expired sign-in links."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")

    def handle(self, *args: Any, **options: Any) -> None:
        with plain_errors():
            orphans, links = (storage.find_orphans(), 0) if options["dry_run"] else storage.sweep()
        for orphan in orphans:
            self.stdout.write(f"{orphan.path}  {format_bytes(orphan.size_bytes)}  {orphan.reason}")
        total = format_bytes(sum(orphan.size_bytes for orphan in orphans))
        if options["dry_run"]:
            self.stdout.write(f"Would free {total} ({len(orphans)} items).")
        else:
            self.stdout.write(f"Freed {total} ({len(orphans)} items); removed {links} expired sign-in links.")
