"""Import an image for ana with the settings of the environment; prints the scene's number."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402

from webapp.jobs.imports import import_file  # noqa: E402

if __name__ == "__main__":
    print(import_file(User.objects.get(username="ana"), Path(sys.argv[1])).pk)
