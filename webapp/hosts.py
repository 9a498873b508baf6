"""Names and addresses of this machine, for the allowed hosts and for the links we print."""

from __future__ import annotations

import ipaddress
import socket

__all__ = ["allowed_hosts", "is_loopback", "is_wildcard", "link_host", "url_host"]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_wildcard(host: str) -> bool:
    """True for the addresses that mean "every interface"."""
    return host in ("0.0.0.0", "::", "")  # noqa: S104 (compared with, not bound to)


def is_loopback(host: str) -> bool:
    """True where only this machine itself can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_host(host: str) -> str:
    """``host`` as it is written in a URL: an IPv6 address goes in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def allowed_hosts(host: str) -> list[str]:
    """Names a browser may use to reach a server that listens on ``host``."""
    names = list(LOOPBACK_NAMES)
    if is_wildcard(host):
        own_name = socket.gethostname()
        names += [own_name, socket.getfqdn(), f"{own_name}.local", *_own_addresses()]
    else:
        names.append(host)
    # Django compares lower-case names; dict keeps the order and drops repeats.
    return list(dict.fromkeys(url_host(name).lower() for name in names if name))


def link_host(host: str) -> str:
    """The name to print in a link: reachable from the network where the server is, from here otherwise."""
    if not is_wildcard(host):
        return url_host(host)
    addresses = [address for address in _own_addresses() if not is_loopback(address)]
    return url_host(addresses[0]) if addresses else "127.0.0.1"


def _own_addresses() -> list[str]:
    addresses = []
    # Connecting a datagram socket sends nothing; it only asks the routing table which address would be used.
    for family, outside in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((outside, 9))
                addresses.append(probe.getsockname()[0])
        except OSError:
            continue  # no route of this family: the machine has no such address to offer
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, proto=socket.IPPROTO_TCP)
    except OSError:
        found = []  # the machine's own name does not resolve, which is common in containers
    addresses += [str(entry[4][0]) for entry in found]
    return list(dict.fromkeys(address.split("%")[0] for address in addresses))
