"""The settings of the tests: the product's own, in a data folder that goes with the test run."""

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix="clusternet-tests-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["DATA_DIR"] = _folder
# What a developer has set for the server must not change what the tests mean.
for _name in (
    "HOST",
    "PORT",
    "DEBUG",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "DATABASE_URL",
    "REDIS_URL",
    "BASEMAP_URL",
    "LEARNING_SECONDS",
    "JOBS_PER_USER",
    "EXPORT_JOB_PIXELS",
    "STORAGE_URL",
    "IMAGERY_HOSTS",
    "IMAGERY_BUCKETS",
):
    os.environ.pop(_name, None)
# `python -m tests.servers` starts real ones, and names them so.
for _name in ("DATABASE_URL", "REDIS_URL"):
    if os.environ.get(f"TEST_{_name}"):
        os.environ[_name] = os.environ[f"TEST_{_name}"]

from webapp.settings import *  # noqa: E402, F403
from webapp.settings import ALLOWED_HOSTS, DATABASES  # noqa: E402

ALLOWED_HOSTS = [*ALLOWED_HOSTS, "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one is slow on purpose
# A file, not memory: threads and sockets of a test then share it as the server's do.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": f"{_folder}/test.sqlite3"}
MIN_FREE_BYTES = 0
LEARNING = "manual"  # a test that wants the server to learn by itself says so
