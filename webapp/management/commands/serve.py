"""manage.py serve: one web process of a server for many, as a service manager starts it (docs/deploy.md)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from webapp import hosts, launch
from webapp.management.plain import PlainCommand, plain_errors
from webapp.services import check_services


class Command(PlainCommand):
    help = "Serve on HOST and PORT: no demo scene, no sign-in link, no changes to the database. Several may run beside each other."
    # The other checks of Django are for developers, and ran when this version was made.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        with plain_errors():
            check_services()
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                raise CommandError(
                    "The database is not ready for this version of ClusterNet; run once: python manage.py migrate"
                )
            connection.close()
            listener = launch.bind(settings.HOST, settings.PORT)
            try:
                from webapp.asgi import application
            except BaseException:
                listener.close()
                raise
            where = f"http://{hosts.url_host(settings.HOST)}:{settings.PORT}"

            def announce() -> None:
                self.stdout.write(f"ClusterNet answers at {where}")
                self.stdout.flush()

            launch.serve(application, listener, announce)
