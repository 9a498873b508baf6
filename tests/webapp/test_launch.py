"""Starting the server: the port, the page to open, what was imported already."""

from __future__ import annotations

import errno
import io
import os
import socket

import pytest
from django.core.management.base import CommandError, OutputWrapper

from webapp import launch
from webapp.models import Scene


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_bind_listens_at_once():
    port = free_port()
    listener = launch.bind("127.0.0.1", port)
    with listener, socket.create_connection(("127.0.0.1", port), timeout=5):
        assert listener.getsockname() == ("127.0.0.1", port)


def test_taken_port_is_told_with_another_to_try():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CommandError) as caught:
            launch.bind("127.0.0.1", port)
    assert f"Port {port} is taken" in str(caught.value)
    assert f"make run PORT={port + 1 if port < 65535 else 8000}" in str(caught.value)


@pytest.mark.parametrize("host", ["198.51.100.77", "no such host"])
def test_foreign_host_is_told(host):
    with pytest.raises(CommandError, match=f"HOST={host} is no address of this machine"):
        launch.bind(host, free_port())


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EACCES, "Port 80 is reserved for the administrator"),
        (errno.EMFILE, "The server cannot listen on"),
    ],
)
def test_other_errors_of_the_port_are_told(monkeypatch, number, sentence):
    def fail(self, address):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "bind", fail)
    with pytest.raises(CommandError, match=sentence):
        launch.bind("127.0.0.1", 80)


@pytest.mark.django_db
def test_start_page_is_the_new_project_else_the_only_one_else_the_list(user, make_project):
    assert launch.start_page(user, None) == "/projects/"
    first = make_project()
    assert launch.start_page(user, None) == f"/projects/{first.pk}/"
    second = make_project()
    assert launch.start_page(user, None) == "/projects/"
    assert launch.start_page(user, second) == f"/projects/{second.pk}/"


@pytest.mark.django_db
def test_import_record_knows_an_image_until_it_or_its_scene_changes(
    user, stranger, make_scene, tmp_path, data_dir
):
    image = tmp_path / "own.tif"
    image.write_bytes(b"one")
    scene = make_scene()
    launch.ImportRecord().add(image, scene)
    assert launch.ImportRecord().find(user, image) == scene
    assert launch.ImportRecord().find(stranger, image) is None
    image.write_bytes(b"other")
    assert launch.ImportRecord().find(user, image) is None
    launch.ImportRecord().add(image, scene)
    Scene.objects.all().delete()
    assert launch.ImportRecord().find(user, image) is None
    (data_dir / "imported.json").write_text("{damaged")
    assert launch.ImportRecord().find(user, image) is None


def test_server_url_is_remembered_for_invitations(settings, data_dir):
    settings.HOST, settings.PORT = "127.0.0.1", 8123
    assert launch.server_url() == "http://127.0.0.1:8123"
    settings.PORT = 9000
    launch.remember_url()
    settings.PORT = 8000
    assert launch.server_url() == "http://127.0.0.1:9000"


def test_progress_counts_on_a_terminal_only():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, expected in (
        (Terminal(), ["Importing ...", "\r", "50%"]),
        (io.StringIO(), ["Importing ...\n"]),
    ):
        with launch.print_progress(OutputWrapper(stream), "Importing") as show:
            show(0.5)
        assert all(part in stream.getvalue() for part in expected)
        assert ("50%" in stream.getvalue()) is ("\r" in expected)


@pytest.mark.parametrize(("display", "opens"), [("", False), (":0", True)])
def test_browser_opens_only_where_there_is_a_display(monkeypatch, display, opens):
    opened = []
    monkeypatch.setattr(launch.webbrowser, "open", opened.append)
    monkeypatch.setattr(launch.sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    class Now(launch.threading.Thread):
        def start(self):
            self.run()

    monkeypatch.setattr(launch.threading, "Thread", Now)
    launch.open_browser("http://127.0.0.1:8000/")
    assert bool(opened) is opens


def test_links_name_the_proxy_where_there_is_one(settings, data_dir):
    settings.CSRF_TRUSTED_ORIGINS = ["http://localhost:8000", "https://maps.example.org"]
    settings.HTTPS = False
    assert launch.server_url() == f"http://127.0.0.1:{settings.PORT}"
    settings.HTTPS = True
    assert launch.remember_url() != "https://maps.example.org"  # where this process itself listens
    assert launch.server_url() == "https://maps.example.org"
