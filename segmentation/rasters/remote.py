"""Images by URL, read by ranges: in a bucket or behind https, never as a whole unless asked.

The size and tag (ETag) that an image has when it is opened are pinned: every range says which version it wants, so that no
map is made of two. Ranges are kept on disk within a bound, and not fetched twice while they are.
"""

from __future__ import annotations

import contextvars
import io
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import obstore
import rasterio
import urllib3
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError
from rasterio import _vsiopener
from rasterio.io import DatasetReader

from segmentation.errors import ChangedSceneError, SegmentationError, StoreError, UnreadableSceneError
from segmentation.objects import bucket_of
from segmentation.rasters.access import ANYWHERE, Access, ImageUrl, parse_image_url
from segmentation.rasters.ranges import CHUNK, RangeCache

__all__ = ["Pin", "RemoteDataset", "RemoteImage", "open_remote"]

_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_RETRIES = urllib3.Retry(3, redirect=0, backoff_factor=0.3, status_forcelist=(429, 500, 502, 503, 504))
_COPY_BYTES = 8 * 2**20


class Pin(NamedTuple):
    """Which version of a file: its bytes, and its tag ("" where the server gives none)."""

    size: int
    etag: str


class _Stat(NamedTuple):
    st_size: int


class _Fetcher(Protocol):
    def first(self, end: int) -> tuple[Pin, bytes]: ...
    def range(self, start: int, end: int, pin: Pin) -> bytes: ...


class RemoteImage:
    """An image at a URL; has what the readers of this package use of a ``Path``. `open_remote` makes one."""

    def __init__(self, url: ImageUrl, fetcher: _Fetcher, pin: Pin | None, cache: RangeCache) -> None:
        self.url = str(url)
        self.name = url.name
        self._fetcher, self._cache = fetcher, cache
        self._failed = threading.local()
        found, head = fetcher.first(CHUNK)
        if pin is not None and not _same(pin, found):
            raise _changed(self.url)
        self.pin = found
        if len(head) == min(CHUNK, found.size):
            cache.put((self.url, found, 0), head)

    def stat(self) -> _Stat:
        return _Stat(self.pin.size)

    def open(self, mode: str = "rb") -> RemoteFile:
        """The content as a file to read."""
        return RemoteFile(self, raises=True)

    def open_dataset(self, driver: str) -> DatasetReader:
        """Open it with one GDAL driver; close what comes as any other dataset."""
        return RemoteDataset(self, driver)

    def download(self, path: Path, check: Callable[[int], None]) -> None:
        """Copy the whole file to disk; ``check`` is told the bytes so far and may raise to stop."""
        with path.open("wb") as file:
            for start in range(0, self.pin.size, _COPY_BYTES):
                end = min(start + _COPY_BYTES, self.pin.size)
                file.write(self._fetcher.range(start, end, self.pin))
                check(end)

    def read_range(self, start: int, end: int) -> bytes:
        """Bytes ``start`` to ``end - 1``, from what is kept or in one request for what lacks."""
        end = min(end, self.pin.size)
        if start >= end:
            return b""
        chunks = range(start // CHUNK, -(-end // CHUNK))
        with self._cache.busy((self.url, self.pin, chunks[0])):
            kept = {index: self._cache.get((self.url, self.pin, index)) for index in chunks}
            lacking = [index for index in chunks if kept[index] is None]
            if lacking:
                first, last = lacking[0], lacking[-1]
                above = min((last + 1) * CHUNK, self.pin.size)
                data = self._fetcher.range(first * CHUNK, above, self.pin)
                for index in range(first, last + 1):
                    part = data[(index - first) * CHUNK : (index - first + 1) * CHUNK]
                    self._cache.put((self.url, self.pin, index), part)
                    kept[index] = part
        whole = b"".join(part for part in kept.values() if part is not None)
        return whole[start - chunks[0] * CHUNK : end - chunks[0] * CHUNK]

    def fail(self, error: SegmentationError) -> None:
        """Note why a range could not be read: GDAL, which asked for it, passes no reason on."""
        self._failed.error = error

    def failure(self) -> SegmentationError | None:
        """Why reading failed in this thread since it was last asked."""
        error: SegmentationError | None = getattr(self._failed, "error", None)
        self._failed.error = None
        return error

    def __str__(self) -> str:
        return self.url


class RemoteFile(io.RawIOBase):
    """A remote image as a seekable file."""

    def __init__(self, image: RemoteImage, raises: bool = False) -> None:
        super().__init__()
        self._image, self._raises, self._at = image, raises, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._image.pin.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._image.pin.size if size is None or size < 0 else self._at + size
        try:
            data = self._image.read_range(self._at, end)
        except SegmentationError as error:
            if self._raises:
                raise
            self._image.fail(error)
            return b""
        self._at += len(data)
        return data


class RemoteDataset:
    """A dataset of a remote image, to be used by one thread at a time, whichever.

    rasterio keeps the files that it opens in variables of the context (thread) that opened them, where they end with it. So
    each dataset has a context of its own.
    """

    def __init__(self, image: RemoteImage, driver: str) -> None:
        self._context = contextvars.Context()
        self._files: list[RemoteFile] = []

        def opener(path: str, mode: str = "rb", **options: Any) -> RemoteFile:
            if os.path.basename(path) != "image" or "w" in mode:
                raise FileNotFoundError(path)  # no file beside it is ever opened
            file = RemoteFile(image)
            self._files.append(file)
            return file

        def start() -> DatasetReader:
            _vsiopener._OPENER_REGISTRY.set({})
            _vsiopener._OPEN_FILE_EXIT_STACKS.set({})
            return rasterio.open("remote/image", opener=opener, driver=driver, sharing=False)

        self.raw: DatasetReader = self._context.run(start)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def close(self) -> None:
        self._context.run(self.raw.close)


def open_remote(
    url: str, access: Access = ANYWHERE, pin: Pin | None = None, cache: RangeCache | None = None
) -> RemoteImage:
    """Open an image at a URL: ``https://``, ``s3://`` and others, with credentials from the environment.

    Parameters
    ----------
    url : str
        Address of the file.
    access : Access
        Where images may be read from; anywhere by default, as the rights are those of whoever runs the program.
    pin : Pin or None
        The version that is wanted.
    cache : RangeCache or None
        What keeps ranges; None for the one of this process.

    Raises
    ------
    UnreadableSceneError
        If it may not be read, is not there, or its server does not answer as it should.
    ChangedSceneError
        If it is another version.
    """
    parts = parse_image_url(url)
    access.check(parts)
    fetcher: _Fetcher = _FromBucket(parts) if parts.is_object else _FromWeb(parts, access)
    return RemoteImage(parts, fetcher, pin, cache or RangeCache.of_process())


class _FromBucket:
    def __init__(self, url: ImageUrl) -> None:
        self._url = url
        try:
            self._bucket = bucket_of(f"{url.scheme}://{url.host}")
        except StoreError as error:
            raise UnreadableSceneError(str(error)) from error

    def first(self, end: int) -> tuple[Pin, bytes]:
        with self._errors():
            meta = obstore.head(self._bucket, self._url.key)
        return Pin(int(meta["size"]), meta["e_tag"] or ""), b""

    def range(self, start: int, end: int, pin: Pin) -> bytes:
        options: Any = {"range": (start, end)}
        if pin.etag:
            options["if_match"] = pin.etag
        with self._errors():
            found = obstore.get(self._bucket, self._url.key, options=options)
            if not _same(pin, Pin(int(found.meta["size"]), found.meta["e_tag"] or "")):
                raise _changed(str(self._url))
            return bytes(found.bytes())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise _missing(self._url) from error
        except PreconditionError as error:
            raise _changed(str(self._url)) from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise _forbidden(self._url) from error
        except BaseError as error:
            # Its text may hold the answer of a server of the inner network.
            raise _unreachable(self._url, "the storage does not answer as it should") from error


class _FromWeb:
    """Ranges by http(s), from the one address that was checked."""

    def __init__(self, url: ImageUrl, access: Access) -> None:
        self._url = url
        address = access.address_of(url)
        common: dict[str, Any] = {"port": url.port, "timeout": _TIMEOUT, "retries": _RETRIES, "maxsize": 8}
        if url.scheme == "https":
            # The certificate must be the name's, though the connection goes to the address.
            self._pool: urllib3.HTTPConnectionPool = urllib3.HTTPSConnectionPool(
                address,
                server_hostname=url.host,
                assert_hostname=url.host,
                ssl_context=ssl.create_default_context(),
                **common,
            )
        else:
            self._pool = urllib3.HTTPConnectionPool(address, **common)
        host = f"[{url.host}]" if ":" in url.host else url.host
        default = {"https": 443, "http": 80}[url.scheme]
        self._headers = {
            "Host": host if url.port == default else f"{host}:{url.port}",
            "Accept-Encoding": "identity",
            "User-Agent": "ClusterNet",
        }

    def first(self, end: int) -> tuple[Pin, bytes]:
        return self._get(0, end, None)

    def range(self, start: int, end: int, pin: Pin) -> bytes:
        found, data = self._get(start, end, pin)
        if not _same(pin, found):
            raise _changed(str(self._url))
        if len(data) != end - start:
            raise _unreachable(self._url, "its server ended the answer early")
        return data

    def _get(self, start: int, end: int, pin: Pin | None) -> tuple[Pin, bytes]:
        headers = {**self._headers, "Range": f"bytes={start}-{end - 1}"}
        if pin is not None and pin.etag and not pin.etag.startswith("W/"):
            headers["If-Match"] = pin.etag
        path = "/" + self._url.key
        try:
            answer = self._pool.request("GET", path, headers=headers, redirect=False, preload_content=False)
            try:
                self._check(answer)
                # No more than was asked for, whatever the server sends.
                data = answer.read(end - start)
            except BaseException:
                answer.close()
                raise
            # A connection on which something is left to read is of no use to the next request.
            if answer.length_remaining == 0:
                answer.release_conn()
            else:
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            why = (
                "its certificate is not valid"
                if "CERTIFICATE" in str(error)
                else "its server does not answer"
            )
            raise _unreachable(self._url, why) from error
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        if not total.isdecimal():
            raise _unreachable(self._url, "its server does not tell the file's size")
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        return Pin(int(total), tag), data

    def _check(self, answer: urllib3.BaseHTTPResponse) -> None:
        status = answer.status
        if status == 206:
            return
        if status == 412:
            raise _changed(str(self._url))
        if status in (404, 410):
            raise _missing(self._url)
        if status in (401, 403):
            raise _forbidden(self._url)
        if status == 416:
            raise UnreadableSceneError(f'"{self._url.name}" is empty; give the address of an image.')
        if 300 <= status < 400:
            raise _unreachable(
                self._url, "it leads on to another address, which is not followed; give that address itself"
            )
        if status == 200:
            raise _unreachable(
                self._url,
                "its server sends files only as a whole, and a part was asked for; download it and upload it here",
            )
        raise _unreachable(self._url, f"its server answered with an error ({status})")


def _same(pin: Pin, found: Pin) -> bool:
    return pin.size == found.size and (not pin.etag or not found.etag or pin.etag == found.etag)


def _missing(url: ImageUrl) -> UnreadableSceneError:
    return UnreadableSceneError(f"There is no file at {url}; check the address.")


def _forbidden(url: ImageUrl) -> UnreadableSceneError:
    return UnreadableSceneError(
        f"Access to {url} is refused; make the file public, or give the server credentials that may read it."
    )


def _unreachable(url: ImageUrl, why: str) -> UnreadableSceneError:
    return UnreadableSceneError(f"{url} cannot be read: {why}.")


def _changed(url: str) -> ChangedSceneError:
    return ChangedSceneError(
        f"The file at {url} has changed since it was added as a scene; what was made of it no longer fits. Add it as a new scene."
    )
