"""Which addresses images may be read from: names and buckets that were listed, and never a machine of the inner network.

A name is resolved here, every address that it has is checked, and the connection goes to the checked address itself: what
the name says a moment later changes nothing. Redirects are not followed.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from segmentation.errors import UnreadableSceneError

__all__ = ["ANYWHERE", "Access", "ImageUrl", "parse_image_url"]

_PORTS = {"https": 443, "http": 80}
_BUCKETS = ("s3", "gs", "az", "abfs", "memory")

Resolve = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class ImageUrl:
    """The parts of an image's URL; ``host`` is the bucket for object storage, ``key`` the path without its first slash."""

    scheme: str
    host: str
    port: int
    key: str

    @property
    def is_object(self) -> bool:
        """Whether it lies in a bucket, which is asked with the credentials of this process."""
        return self.scheme in _BUCKETS

    @property
    def name(self) -> str:
        """The file's name, fit for a message and a disk."""
        name = re.sub(r"[^\w.\- ]", "_", unquote(self.key.rpartition("/")[2]))[-120:].lstrip(". ")
        return name or "image"

    def __str__(self) -> str:
        port = "" if self.is_object or self.port == _PORTS[self.scheme] else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{port}/{self.key}"


@dataclass(frozen=True)
class Access:
    """What may be read.

    ``hosts``: names ("data.example.org", "*.example.org", "*"), addresses and networks ("10.1.0.0/16"); ``buckets``:
    "s3://name", "s3://name/prefix" or "s3://*". An address that is not public (of an inner network, this machine, or what a
    cloud tells its machines about themselves) needs itself or its network to be listed, whatever name leads there. None: all,
    for whoever runs the program with rights of their own.
    """

    hosts: tuple[str, ...] | None = ()
    buckets: tuple[str, ...] | None = ()

    def check(self, url: ImageUrl) -> None:
        """Refuse a URL by its name alone.

        Raises
        ------
        UnreadableSceneError
            With what could be done about it.
        """
        if url.is_object:
            if self.buckets is not None and not any(_in_bucket(url, one) for one in self.buckets):
                raise UnreadableSceneError(
                    f"Images may not be read from the bucket {url.scheme}://{url.host} here; upload the image, or ask whoever "
                    "runs the server to add the bucket to IMAGERY_BUCKETS."
                )
        elif self.hosts is not None and not any(_is_host(url.host, one) for one in self.hosts):
            raise UnreadableSceneError(
                f"Images may not be read from {url.host} here; upload the image, or ask whoever runs the server to add the "
                "host to IMAGERY_HOSTS."
            )

    def address_of(self, url: ImageUrl, resolve: Resolve | None = None) -> str:
        """The address to connect to; each that the name has is checked, as any of them could be taken.

        Raises
        ------
        UnreadableSceneError
            If the name has no address, or one that may not be asked.
        """
        self.check(url)
        try:
            found = (resolve or _resolve)(url.host, url.port)
        except (OSError, UnicodeError) as error:
            raise UnreadableSceneError(
                f"There is no host {url.host}, or it cannot be found from here; check the address."
            ) from error
        for text in found:
            if not self._may_connect(text):
                raise UnreadableSceneError(
                    f"{url.host} leads to {text}, an address of an inner network; images are read from there only if "
                    "whoever runs the server adds that address to IMAGERY_HOSTS."
                )
        return found[0]

    def _may_connect(self, text: str) -> bool:
        if self.hosts is None:
            return True
        address = _plain(text)
        networks = [network for one in self.hosts if (network := _network(one)) is not None]
        if any(address.version == network.version and address in network for network in networks):
            return True
        return address.is_global and not address.is_multicast


ANYWHERE = Access(None, None)


def parse_image_url(text: str) -> ImageUrl:
    """Take a URL apart.

    Raises
    ------
    UnreadableSceneError
        If it is none that an image could be read from, or holds a password or signature.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise UnreadableSceneError("That is not a URL; give one such as https://host/image.tif.") from error
    if parts.scheme not in (*_PORTS, *_BUCKETS) or not host:
        raise UnreadableSceneError(
            "That is not a URL that images can be read from; give one that begins with https:// or s3:// (or gs://, az://)."
        )
    if parts.username is not None or parts.password is not None or parts.query:
        raise UnreadableSceneError(
            "The URL holds a password, signature or query, which would be kept and shown to others; give the plain address of "
            "the file. Credentials for buckets are set where the server runs."
        )
    key = parts.path.lstrip("/")
    if not key or any(ord(character) <= 32 for character in text.strip()):
        raise UnreadableSceneError(
            "The URL names no file; give the whole address of one image, without spaces."
        )
    if ".." in key.split("/"):
        raise UnreadableSceneError('The URL holds ".."; give the plain address of the file.')
    if parts.scheme in _BUCKETS:
        # Names of buckets may have capitals in old ones; urlsplit's hostname lowers them.
        return ImageUrl(parts.scheme, parts.netloc, 0, key)
    return ImageUrl(parts.scheme, host, port or _PORTS[parts.scheme], key)


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address itself, also where one of version 4 is wrapped in one of version 6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip().strip("[]"), strict=False)
    except ValueError:
        return None  # a name


def _is_host(host: str, listed: str) -> bool:
    listed = listed.strip().lower()
    network = _network(listed)
    if network is not None:
        try:
            address = _plain(host)
        except ValueError:
            return False
        return address.version == network.version and address in network
    host = host.lower().rstrip(".")
    return listed in ("*", host) or (listed.startswith("*.") and host.endswith(listed[1:]))


def _in_bucket(url: ImageUrl, listed: str) -> bool:
    bucket, _, prefix = listed.strip().removeprefix(f"{url.scheme}://").partition("/")
    if not listed.strip().startswith(f"{url.scheme}://") or bucket not in (url.host, "*"):
        return False
    prefix = prefix.strip("/")
    return not prefix or url.key == prefix or url.key.startswith(f"{prefix}/")
