"""Configuration from the environment, in processes of its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEEP = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
SHOW = """
import json, webapp.settings as s
names = ["ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "DEBUG", "SECRET_KEY", "HOST", "PORT", "DATABASES", "CHANNEL_LAYERS", "CACHES",
         "SESSION_COOKIE_SECURE", "MAX_UPLOAD_BYTES"]
print(json.dumps({name: getattr(s, name) for name in names}, default=str))
"""


def python(data_dir: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in KEEP if name in os.environ}
    variables = {**kept, "DATA_DIR": str(data_dir), **environment}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def settings_with(data_dir: Path, **environment: str) -> dict:
    done = python(data_dir, "-c", SHOW, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_defaults_are_safe_and_local(tmp_path):
    made = settings_with(tmp_path)
    assert made["DEBUG"] is False
    assert made["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert made["CSRF_TRUSTED_ORIGINS"] == [
        "http://localhost:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
    ]
    assert made["DATABASES"]["default"]["NAME"] == str(tmp_path / "clusternet.sqlite3")
    assert made["DATABASES"]["default"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert made["CHANNEL_LAYERS"]["default"]["BACKEND"].endswith("InMemoryChannelLayer")


def test_secret_key_is_made_once_and_kept_to_its_owner(tmp_path):
    folder = tmp_path / "new" / "data"
    first = settings_with(folder)["SECRET_KEY"]
    assert len(first) > 50
    assert stat.S_IMODE((folder / "secret_key").stat().st_mode) == 0o600
    assert settings_with(folder)["SECRET_KEY"] == first
    assert [path.name for path in folder.iterdir()] == ["secret_key"]
    assert settings_with(folder, SECRET_KEY="x" * 50)["SECRET_KEY"] == "x" * 50


def test_allowed_hosts_follow_host_and_port(tmp_path):
    made = settings_with(tmp_path, HOST="192.0.2.7", PORT="9001")
    assert "192.0.2.7" in made["ALLOWED_HOSTS"]
    assert "http://192.0.2.7:9001" in made["CSRF_TRUSTED_ORIGINS"]
    everywhere = settings_with(tmp_path, HOST="0.0.0.0")
    assert os.uname().nodename.lower() in everywhere["ALLOWED_HOSTS"]
    assert "*" not in everywhere["ALLOWED_HOSTS"]
    assert settings_with(tmp_path, HOST="::1")["HOST"] == "::1"
    assert settings_with(tmp_path, ALLOWED_HOSTS="maps.example.org")["ALLOWED_HOSTS"] == ["maps.example.org"]


def test_scaled_parts_come_from_the_environment(tmp_path):
    made = settings_with(
        tmp_path,
        DATABASE_URL="postgres://u:p@db.example.org/maps",
        REDIS_URL="redis://cache.example.org",
        HTTPS="1",
    )
    assert made["DATABASES"]["default"]["ENGINE"] == "django.db.backends.postgresql"
    assert made["DATABASES"]["default"]["OPTIONS"] == {"connect_timeout": 5}
    assert made["CHANNEL_LAYERS"]["default"]["BACKEND"] == "channels_redis.pubsub.RedisPubSubChannelLayer"
    [host] = made["CHANNEL_LAYERS"]["default"]["CONFIG"]["hosts"]
    assert host["address"] == "redis://cache.example.org"
    assert made["CACHES"]["default"]["BACKEND"] == "django.core.cache.backends.redis.RedisCache"
    assert made["CACHES"]["default"]["LOCATION"] == "redis://cache.example.org"
    assert made["SESSION_COOKIE_SECURE"] is True


def test_empty_variables_mean_the_default(tmp_path):
    made = settings_with(tmp_path, PORT="", HOST="", MAX_UPLOAD_BYTES="")
    assert (made["HOST"], made["PORT"], made["MAX_UPLOAD_BYTES"]) == ("127.0.0.1", 8000, 4_000_000_000)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"LEARNING": "never"}, 'LEARNING must be "auto" or "manual", not \'never\'.'),
        ({"LEARNING_SECONDS": "0"}, "LEARNING_SECONDS must be a whole number from 1 to 3600, not '0'."),
        ({"PORT": "http"}, "PORT must be a whole number from 1 to 65535, not 'http'."),
        ({"PORT": "70000"}, "PORT must be a whole number from 1 to 65535, not '70000'."),
        ({"MAX_UPLOAD_BYTES": "4G"}, "MAX_UPLOAD_BYTES must be a whole number"),
        ({"BASEMAP_URL": "osm"}, "BASEMAP_URL must be a tile address"),
        ({"DATA_DIR": "/proc/nowhere"}, "The data folder /proc/nowhere cannot be used"),
    ],
)
def test_bad_values_are_one_sentence_without_traceback(tmp_path, environment, sentence):
    done = python(environment.pop("DATA_DIR", tmp_path), "manage.py", "sweep", **environment)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_damaged_secret_key_is_told(tmp_path):
    (tmp_path / "secret_key").write_text("short")
    done = python(tmp_path, "manage.py", "sweep")
    assert done.returncode == 1
    assert "secret_key is damaged; delete it" in done.stderr


def test_deployment_check_finds_nothing_behind_https(tmp_path):
    done = python(
        tmp_path, "manage.py", "check", "--deploy", "--fail-level", "WARNING", HTTPS="1", HSTS_SECONDS="3600"
    )
    # The redirect to HTTPS is the proxy's, and subdomains are not ours to decide on.
    left = [
        line
        for line in done.stderr.splitlines()
        if line.startswith("?:") and "W008" not in line and "W005" not in line
    ]
    assert [line for line in left if "W021" not in line] == []
