"""Configuration: from the environment (or ``.env``); everything has a default that works."""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

import segmentation.rasters  # noqa: F401  sets GDAL's options, which it reads once, before anything else loads it
from webapp import hosts, services
from webapp.mail import mail_settings

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env", overwrite=False)


def _number(name: str, default: int, low: int, high: int) -> int:
    text = env.str(name, default="").strip() or str(default)
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must be a whole number from {low} to {high}, not {text!r}.")
    return value


def _secret_key(data_dir: Path) -> str:
    """The key kept in the data folder, made at the first start; only its owner may read it."""
    path = data_dir / "secret_key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # Written beside and linked into place: of two servers starting at once, both read the same key.
            draft = data_dir / f".secret_key-{os.getpid()}"
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(64))
            try:
                os.link(draft, path)
            except FileExistsError:
                pass  # the other server was first; its key is as good
            finally:
                draft.unlink()
        key = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {data_dir} cannot be used ({error.strerror}); "
            "free some space, fix its permissions, or set DATA_DIR to another folder."
        ) from error
    if len(key) < 32:
        raise ImproperlyConfigured(
            f"{path} is damaged; delete it, and everybody signs in again with a new link."
        )
    return key


# Dask reads its levels when it is imported, and would tell of every connection.
DASK_ENVIRONMENT = {"DASK_LOGGING__DISTRIBUTED": "warning"}
for _name, _value in DASK_ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

# --- where things are ------------------------------------------------------------------------------------
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "data"))).expanduser().resolve()
HOST = env.str("HOST", default="127.0.0.1").strip().strip("[]") or "127.0.0.1"
PORT = _number("PORT", 8000, 1, 65535)

# --- safety ----------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or _secret_key(DATA_DIR)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[]) or hosts.allowed_hosts(HOST)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[]) or [
    f"http://{name}:{PORT}" for name in ALLOWED_HOSTS if not name.startswith((".", "*"))
]
# Behind a proxy that speaks TLS: HTTPS=1 keeps the cookies off plain HTTP and believes its X-Forwarded-Proto.
HTTPS = env.bool("HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = _number("HSTS_SECONDS", 0, 0, 63_072_000)
SECURE_CONTENT_TYPE_NOSNIFF = True
# Public base maps refuse requests that name no origin, so that "same-origin" would leave the map empty.
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if HTTPS else None  # browsers warn of it on plain HTTP
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "webapp.errors.csrf_failure"

# --- object storage (none by default: all lies below DATA_DIR) ----------------------------------------------
STORAGE_URL = env.str("STORAGE_URL", default="").strip().rstrip("/")
if STORAGE_URL and not re.fullmatch(r"(s3|gs|az|abfs)://[^/\s?#@]+(/[^\s?#]*)?", STORAGE_URL):
    raise ImproperlyConfigured(
        "STORAGE_URL must be a place in a bucket such as s3://bucket/prefix, without credentials, which are read from "
        "the environment (AWS_ACCESS_KEY_ID and others)."
    )

# --- limits ----------------------------------------------------------------------------------------------
MAX_UPLOAD_BYTES = _number("MAX_UPLOAD_BYTES", 4_000_000_000, 1, 2**50)
# A larger file is sent in parts of PART bytes, which are kept when the line or the server breaks.
UPLOAD_PARTS_ABOVE = _number("UPLOAD_PARTS_ABOVE", 32 * 1024**2, 0, 2**50)
UPLOAD_PART_BYTES = _number("UPLOAD_PART_BYTES", 16 * 1024**2, 1024**2, 64 * 1024**2)
MAX_PIXELS = _number("MAX_PIXELS", 2_000_000_000, 1, 2**50)
MAX_BANDS = _number("MAX_BANDS", 250, 1, 65_535)
QUOTA_BYTES = _number("QUOTA_BYTES", 50_000_000_000, 1, 2**60)  # of each user
MIN_FREE_BYTES = _number("MIN_FREE_BYTES", 256 * 1024**2, 0, 2**50)  # kept free on the disk of DATA_DIR
TILE_THREADS = _number("TILE_THREADS", max(2, min(8, os.cpu_count() or 2)), 1, 256)
TILE_QUEUE = _number("TILE_QUEUE", 512, 1, 100_000)  # tiles that may wait for a thread, in each process
TILE_CACHE_BYTES = _number("TILE_CACHE_BYTES", 2 * 1024**3, 0, 2**50)  # encoded tiles below DATA_DIR/tiles
# Whether the server learns better features of a scene by itself once its first map is there, and for how long.
LEARNING = env.str("LEARNING", default="").strip().lower() or "auto"
if LEARNING not in ("auto", "manual"):
    raise ImproperlyConfigured(f'LEARNING must be "auto" or "manual", not {LEARNING!r}.')
LEARNING_SECONDS = _number("LEARNING_SECONDS", 60, 1, 3600)
JOBS_PER_USER = _number("JOBS_PER_USER", 2, 1, 1000)  # that compute at a time
EXPORT_JOB_PIXELS = _number("EXPORT_JOB_PIXELS", 25_000_000, 0, 2**50)  # from which downloads are prepared
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024**2  # of a request that is not an upload
FILE_UPLOAD_HANDLERS = ["webapp.rest.uploads.RasterUploadHandler"]

# Where images may be read from by URL: host names, "*.example.org", addresses and networks; "s3://bucket/prefix".
IMAGERY_HOSTS = [one.strip() for one in env.list("IMAGERY_HOSTS", default=[]) if one.strip()]
IMAGERY_BUCKETS = [one.strip() for one in env.list("IMAGERY_BUCKETS", default=[]) if one.strip()]
for _one in IMAGERY_HOSTS:
    if not re.fullmatch(r"\*|(\*\.)?[\w.-]+|[\[\]0-9a-fA-F:.]+(/\d{1,3})?", _one):
        raise ImproperlyConfigured(
            f"IMAGERY_HOSTS holds names such as data.example.org or *.example.org, addresses and networks, not {_one!r}."
        )
for _one in IMAGERY_BUCKETS:
    if not re.fullmatch(r"(s3|gs|az|abfs)://[^/\s]+(/\S*)?", _one):
        raise ImproperlyConfigured(
            f"IMAGERY_BUCKETS holds places such as s3://bucket or s3://bucket/prefix, not {_one!r}."
        )

# --- base map (none by default) --------------------------------------------------------------------------
BASEMAP_URL = env.str("BASEMAP_URL", default="").strip()
BASEMAP_ATTRIBUTION = env.str("BASEMAP_ATTRIBUTION", default="")
if BASEMAP_URL and not re.match(r"https?://[^/]+/.*\{z\}", BASEMAP_URL):
    raise ImproperlyConfigured(
        "BASEMAP_URL must be a tile address such as https://tiles.example.org/{z}/{x}/{y}.png, "
        f"not {BASEMAP_URL!r}."
    )

# --- the application -------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "leaflet",
    "axes",
    "webapp",
]
MIDDLEWARE = [
    "webapp.middleware.ContentSecurityPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "webapp.middleware.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "webapp.middleware.SignInRequiredMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "webapp.urls"
ASGI_APPLICATION = "webapp.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]

# --- database, channel layer, engine ---------------------------------------------------------------------
DATABASES = {"default": services.database(env.str("DATABASE_URL", default=""), DATA_DIR)}
REDIS_URL = services.redis_url(env.str("REDIS_URL", default=""))
CHANNEL_LAYERS = services.channel_layers(REDIS_URL)
CACHES = services.caches(REDIS_URL)
DASK_SCHEDULER_ADDRESS = env.str(
    "DASK_SCHEDULER_ADDRESS", default=""
)  # "" = a local engine inside the server
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- accounts --------------------------------------------------------------------------------------------
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "projects"
LOGOUT_REDIRECT_URL = "login"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 0.25  # hours
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_PARAMETERS = ["ip_address"]
AXES_LOCKOUT_CALLABLE = "webapp.accounts.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
PASSWORD_RESET_TIMEOUT = 24 * 3600  # seconds; of a link by e-mail
# Without one no e-mail goes out, and who forgot a password is sent to an administrator.
EMAIL_URL = env.str("EMAIL_URL", default="").strip()
CAN_SEND_MAIL = bool(EMAIL_URL)
globals().update(mail_settings(EMAIL_URL))
EMAIL_TIMEOUT = 15  # seconds
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="").strip() or "clusternet@localhost"
SIGN_IN_LINK_HOURS = _number("SIGN_IN_LINK_HOURS", 24, 1, 24 * 365)

# --- static files: served by the server itself, from where they lie --------------------------------------
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
# Modules import each other by plain names, and a half-stale set would break: browsers ask each time (304).
WHITENOISE_MAX_AGE = 0
WHITENOISE_ALLOW_ALL_ORIGINS = False

# --- the rest --------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
LOG_LEVEL = env.str("LOG_LEVEL", default="WARNING").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": sys.stderr, "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"level": LOG_LEVEL},
        "django.request": {"level": "ERROR"},  # a 404 is the visitor's business
        "django.security.DisallowedHost": {
            "level": "CRITICAL"
        },  # as is a wrong name; it comes with a traceback
        "uvicorn": {"level": LOG_LEVEL},
    },
}
