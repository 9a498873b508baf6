"""Names of this machine."""

import socket

import pytest

from webapp import hosts


@pytest.fixture
def machine(monkeypatch):
    """A machine called Maps with two addresses."""
    monkeypatch.setattr(hosts, "_own_addresses", lambda: ["127.0.0.1", "192.0.2.20", "fd00::2"])
    monkeypatch.setattr(socket, "gethostname", lambda: "Maps")
    monkeypatch.setattr(socket, "getfqdn", lambda: "maps.example.org")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_allows_only_loopback(host, machine):
    assert set(hosts.allowed_hosts(host)) == {"localhost", "127.0.0.1", "[::1]"}
    assert hosts.is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_wildcard_allows_every_name_of_the_machine(host, machine):
    allowed = hosts.allowed_hosts(host)
    assert {"maps", "maps.example.org", "maps.local", "192.0.2.20", "[fd00::2]", "localhost"} <= set(allowed)
    assert len(allowed) == len(set(allowed))
    assert hosts.link_host(host) == "192.0.2.20"


def test_one_address_allows_itself_and_loopback(machine):
    assert hosts.allowed_hosts("192.0.2.20") == ["localhost", "127.0.0.1", "[::1]", "192.0.2.20"]
    assert hosts.link_host("fd00::2") == "[fd00::2]"


def test_link_of_a_machine_without_network_is_local(monkeypatch):
    monkeypatch.setattr(hosts, "_own_addresses", list)
    assert hosts.link_host("0.0.0.0") == "127.0.0.1"


def test_own_addresses_survive_a_name_that_does_not_resolve(monkeypatch):
    def fail(*args, **kwargs):
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert all(isinstance(address, str) for address in hosts._own_addresses())
