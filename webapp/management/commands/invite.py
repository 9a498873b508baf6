"""manage.py invite NAME"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command

from webapp.accounts import get_or_create_user, make_sign_in_path
from webapp.launch import server_url
from webapp.management.plain import PlainCommand, plain_errors


class Command(PlainCommand):
    help = "Print a link that signs NAME in once; the user is created where there is none of that name."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="user name, such as ana")
        parser.add_argument(
            "--admin", action="store_true", help="let NAME look after the accounts of this server"
        )
        parser.add_argument(
            "--url", default="", help="address of the server, where it is not the one started last here"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with plain_errors():
            call_command("migrate", verbosity=0)
            user, created = get_or_create_user(options["name"])
            if options["admin"] and not user.is_staff:
                user.is_staff = True
                user.save(update_fields=["is_staff"])
            link = (options["url"].rstrip("/") or server_url()) + make_sign_in_path(user)
        who = f"{'New user' if created else 'User'} {user.username}"
        self.stdout.write(
            f"{who}: this link signs in once, within {settings.SIGN_IN_LINK_HOURS} hours:\n{link}"
        )
