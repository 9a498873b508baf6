"""What deploy/ and docs/deploy.md say exists, and the configurations are read by the programs they are for."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
GUIDE = (ROOT / "docs" / "deploy.md").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
# Of the programs themselves, not of ours.
FOREIGN = {"PYTHONUNBUFFERED", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"}


def settings_described() -> set[str]:
    table = (ROOT / "docs" / "configuration.md").read_text()
    first_cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    return {name for cell in first_cells for name in re.findall(r"`([A-Z][A-Z_]+)`", cell)}


def variables_of(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def unit(name: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str
    parser.read(DEPLOY / name)
    return {section: dict(parser[section]) for section in parser.sections()}


def web_services() -> dict[str, dict]:
    return {name: one for name, one in COMPOSE["services"].items() if "build" in one}


def test_compose_runs_two_web_processes_and_all_that_they_need():
    services = COMPOSE["services"]
    assert {"web-1", "web-2", "migrate", "database", "redis", "proxy"} == services.keys()
    for name in ("web-1", "web-2"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert "command" not in services[name]
    for service in services.values():
        for needed in service.get("depends_on", []):
            assert needed in services
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
    # Only the proxy is reached from outside.
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]


def test_images_are_pinned():
    images = [one["image"] for one in COMPOSE["services"].values() if "build" not in one]
    images += re.findall(r"^FROM (\S+)", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert len(images) == 4
    for image in images:
        assert re.search(r":\d+\.\d+(\.\d+)?(-[\w.-]+)?$", image), image


def test_every_setting_is_described():
    described = settings_described()
    assert {"DATABASE_URL", "REDIS_URL", "FORWARDED_ALLOW_IPS"} <= described
    used = set(variables_of(DEPLOY / "service.environment.example"))
    for service in web_services().values():
        used |= service["environment"].keys()
    for line in re.findall(r"^ENV (.+)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE):
        used |= {pair.split("=")[0] for pair in line.split()} - {
            "PYTHONDONTWRITEBYTECODE",
            "PIP_NO_CACHE_DIR",
            "PIP_DISABLE_PIP_VERSION_CHECK",
        }
    used |= {pair.split("=")[0] for pair in unit("clusternet@.service")["Service"]["Environment"].split()}
    assert used - FOREIGN - described == set()


def test_every_setting_that_is_described_is_read():
    """A variable that nothing reads would be set in vain."""
    code = "".join(path.read_text() for path in (ROOT / "webapp").rglob("*.py"))
    uvicorn_reads = {"FORWARDED_ALLOW_IPS"}
    assert {name for name in settings_described() if f'"{name}"' not in code} == uvicorn_reads


def test_compose_asks_for_what_the_example_holds():
    text = (DEPLOY / "compose.yaml").read_text()
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))
    example = variables_of(DEPLOY / "environment.example")
    assert asked == example.keys()
    required = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    assert required == {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY", "SITE"}
    assert all(not example[name] for name in required - {"SITE"})  # no secret that somebody might keep


def test_secrets_are_not_committed():
    ignored = (ROOT / ".gitignore").read_text().split()
    assert "/deploy/environment" in ignored
    tracked = [path.name for path in DEPLOY.iterdir() if "environment" in path.name]
    assert [name for name in tracked if not name.endswith(".example") and name != "environment"] == []


def test_commands_exist():
    own = {path.stem for path in (ROOT / "webapp" / "management" / "commands").glob("*.py")} | {"migrate"}
    texts = [GUIDE, *(path.read_text() for path in DEPLOY.iterdir() if path.is_file())]
    named = {name for text in texts for name in re.findall(r"manage\.py (\w+)", text)}
    named |= set(re.findall(r"^as_server (\w+)", GUIDE, re.MULTILINE))
    commands = [service.get("command", []) for service in web_services().values()]
    named |= {command[2] for command in commands if command[:2] == ["python", "manage.py"]}
    assert {"serve", "migrate", "invite", "sweep"} <= named
    assert named <= own


def test_files_that_the_guide_names_exist():
    named = set(re.findall(r"deploy/[\w@.-]+[\w]", GUIDE)) - {"deploy/environment"}
    assert len(named) >= 6
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_container_holds_what_the_application_needs_and_does_not_run_as_root():
    text = (DEPLOY / "Containerfile").read_text()
    for source in re.findall(r"^COPY (\S+)", text, re.MULTILINE):
        assert (ROOT / source).exists(), source
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users == ["clusternet"]
    assert text.index("USER clusternet") < text.index('CMD ["python", "manage.py"')


def test_units_hold_together():
    web, sweep = unit("clusternet@.service"), unit("clusternet-sweep.service")
    assert web["Service"]["ExecStart"].endswith("manage.py serve")
    assert sweep["Service"]["ExecStart"].endswith("manage.py sweep")
    assert "PORT=%i" in web["Service"]["Environment"].split()
    assert web["Service"]["User"] == sweep["Service"]["User"] != "root"
    assert unit("clusternet-sweep.timer")["Timer"]["OnCalendar"]
    # What the units name, the guide makes.
    for made in (
        web["Service"]["WorkingDirectory"],
        web["Service"]["EnvironmentFile"],
        "/var/lib/clusternet",
    ):
        assert made in GUIDE
    verify = shutil.which("systemd-analyze")
    if verify:
        done = subprocess.run(
            [verify, "calendar", unit("clusternet-sweep.timer")["Timer"]["OnCalendar"]],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_proxies_pass_on_what_the_application_relies_on():
    nginx, caddy = ((DEPLOY / name).read_text() for name in ("nginx.conf", "Caddyfile"))
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in nginx  # not appended to what the browser says
    assert "proxy_set_header X-Forwarded-Proto $scheme;" in nginx
    assert "proxy_set_header Upgrade $http_upgrade;" in nginx
    assert "proxy_set_header Host $http_host;" in nginx
    assert "header_up X-Forwarded-For {remote_host}" in caddy
    limit = int(re.search(r"client_max_body_size (\d+)m;", nginx)[1]) * 1_000_000
    assert limit > 4_000_000_000  # MAX_UPLOAD_BYTES, and the form around it
    for secret in ("enter", "join", "accounts/password/reset"):
        assert secret in re.search(r"location ~ (\S+) \{\s+access_log off;", nginx)[1]
    for name in ("web-1", "web-2"):
        assert f"{name}:8000" in caddy


def test_nginx_reads_its_configuration(tmp_path):
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed (Debian: apt install nginx-light)")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    _write_certificate(certificate, key)
    site = (DEPLOY / "nginx.conf").read_text()
    site = re.sub(r"(ssl_certificate) +\S+;", rf"\1 {certificate};", site)
    site = re.sub(r"(ssl_certificate_key) +\S+;", rf"\1 {key};", site)
    # Ports that nobody needs to be root for: the test opens them for a moment.
    site = site.replace("listen 443", "listen 18443").replace("[::]:443", "[::1]:18443")
    site = site.replace("listen 80;", "listen 18080;").replace("[::]:80", "[::1]:18080")
    if not os.path.exists("/proc/net/if_inet6"):
        site = re.sub(r"^\s+listen \[::1?\].*$", "", site, flags=re.MULTILINE)
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;\n"
        f"fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n"
        f"include {tmp_path}/site.conf; }}\n"
    )
    command = [program, "-t", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr.replace('the "user" directive', ""), done.stderr


def _write_certificate(certificate: Path, key: Path) -> None:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "maps.example.org")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
