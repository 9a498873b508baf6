"""Object storage (``s3://bucket/prefix`` and others) as places to write to and read from, beside folders on disk.

`store_path` gives a ``Path`` for a path and an `ObjectPath` for a URL; the few things that a store does with files are the same
on both. An object appears as a whole or not at all, so nothing is renamed there. Credentials, region and endpoint come from
the environment (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...), never from a URL.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import MemoryStore, from_url

from segmentation.errors import InvalidArgumentError, StoreError

if TYPE_CHECKING:  # it takes half a second to import, and not all who name a place open a store
    import zarr

__all__ = [
    "SCHEMES",
    "ObjectPath",
    "StorePath",
    "bucket_of",
    "buffer_of",
    "forget_buckets",
    "is_url",
    "local_copy",
    "open_zarr",
    "remove_tree",
    "storage_errors",
    "store_path",
    "tree_size",
    "write_whole",
]

SCHEMES = ("s3", "gs", "az", "abfs", "memory")
_CLIENT = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=120)}
_RETRY: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}

_buckets: dict[str, Any] = {}
_lock = threading.Lock()


class ObjectStat(NamedTuple):
    """What is known of an object without reading it."""

    st_size: int
    etag: str


class ObjectPath:
    """A key in object storage, with as much of ``pathlib.Path`` as the stores use; there are no folders to make."""

    def __init__(self, bucket: str, key: str) -> None:
        self.bucket = bucket  # "s3://name"
        self.key = key

    def __truediv__(self, name: str | Path) -> ObjectPath:
        return ObjectPath(self.bucket, f"{self.key}/{name}".strip("/"))

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectPath) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> ObjectPath:
        return ObjectPath(self.bucket, self.key.rpartition("/")[0])

    def with_name(self, name: str) -> ObjectPath:
        return self.parent / name

    def resolve(self) -> ObjectPath:
        return self

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        """Nothing: a key needs no folder."""

    def read_bytes(self) -> bytes:
        """FileNotFoundError where there is no such object."""
        with storage_errors(self):
            return bytes(obstore.get(bucket_of(self.bucket), self.key).bytes())

    def read_text(self, encoding: str = "utf-8") -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        with storage_errors(self):
            obstore.put(bucket_of(self.bucket), self.key, content)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        self.write_bytes(text.encode(encoding))

    def stat(self) -> ObjectStat:
        with storage_errors(self):
            meta = obstore.head(bucket_of(self.bucket), self.key)
        return ObjectStat(int(meta["size"]), meta["e_tag"] or "")

    def exists(self) -> bool:
        """Whether there is an object of this very key."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def unlink(self, missing_ok: bool = False) -> None:
        if not missing_ok:
            self.stat()
        with storage_errors(self):
            obstore.delete(bucket_of(self.bucket), self.key)

    def upload(self, file: Path) -> None:
        """Copy a file here, in parts where it is large; a reader sees all of it or nothing."""
        with storage_errors(self):
            obstore.put(bucket_of(self.bucket), self.key, file)

    def children(self) -> list[ObjectPath]:
        """What lies right below this key, taken as a folder: folders and objects."""
        with storage_errors(self):
            found = obstore.list_with_delimiter(bucket_of(self.bucket), self.key)
        keys = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
        return [ObjectPath(self.bucket, key) for key in sorted(keys)]

    def changed_at(self) -> float:
        """When something below this key was written last, in seconds since 1970; 0 where there is nothing."""
        latest = 0.0
        with storage_errors(self):
            for found in obstore.list(bucket_of(self.bucket), prefix=self.key, chunk_size=1000):
                latest = max(latest, *(one["last_modified"].timestamp() for one in found))
        return latest

    def below(self) -> Iterator[tuple[str, int]]:
        """Key and size of all objects below this key as a folder."""
        with storage_errors(self):
            for found in obstore.list(bucket_of(self.bucket), prefix=self.key, chunk_size=1000):
                yield from ((one["path"], int(one["size"])) for one in found)


StorePath = Path | ObjectPath


def is_url(text: object) -> bool:
    """Whether this is a URL rather than a path."""
    return isinstance(text, str) and "://" in text


def store_path(text: str | Path | ObjectPath) -> StorePath:
    """A folder or file on disk, or in object storage for a URL.

    Raises
    ------
    InvalidArgumentError
        For a URL of a kind that nothing can be stored at.
    """
    if isinstance(text, ObjectPath):
        return text
    if not is_url(text):
        return Path(text)
    parts = urlsplit(str(text))
    if parts.scheme not in SCHEMES or not parts.netloc or parts.username or parts.query or parts.fragment:
        raise InvalidArgumentError(
            f"{_shown(str(text))!r} is no place to store at; give a folder, or a URL such as s3://bucket/prefix (with the "
            f"credentials in the environment). Known are {', '.join(f'{one}://' for one in SCHEMES)}."
        )
    return ObjectPath(f"{parts.scheme}://{parts.netloc}", parts.path.strip("/"))


def bucket_of(url: str) -> Any:
    """The client of a bucket such as ``s3://name``; one for the whole process, as it pools connections.

    ``memory://name`` is a store in the memory of this process, for tests.
    """
    with _lock:
        if url not in _buckets:
            if url.startswith("memory://"):
                _buckets[url] = MemoryStore()
            else:
                with storage_errors(url):
                    _buckets[url] = _client(url)
        return _buckets[url]


def _client(url: str) -> Any:
    options: Any = dict(_CLIENT)
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        options["allow_http"] = True
    return from_url(url, client_options=options, retry_config=_RETRY)


def forget_buckets() -> None:
    """Make clients anew from what the environment says now; what was kept in memory is gone."""
    with _lock:
        _buckets.clear()


@contextmanager
def storage_errors(place: object) -> Iterator[None]:
    """Turn errors of object storage into a sentence; FileNotFoundError stays what it is.

    Raises
    ------
    StoreError
        With the place and what to look at.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise StoreError(
            f"The storage refuses access to {place}; check the credentials in the environment, and what they may do there."
        ) from error
    except BaseError as error:
        raise StoreError(f"The storage at {place} does not answer as it should: {_reason(error)}.") from error


def open_zarr(place: StorePath, mode: Any) -> zarr.Group:
    """The Zarr group at a place."""
    import zarr
    from zarr.storage import ObjectStore as ZarrStore

    if isinstance(place, ObjectPath):
        with storage_errors(place):
            if place.bucket.startswith("memory://"):
                store = ZarrStore(bucket_of(place.bucket), read_only=mode == "r")
                return zarr.open_group(store, path=place.key, mode=mode)
            # A client of its own that begins at the key: Zarr would write groups for all folders above.
            return zarr.open_group(ZarrStore(_client(str(place)), read_only=mode == "r"), mode=mode)
    return zarr.open_group(str(place), mode=mode)


def write_whole(place: StorePath, content: bytes, lasting: bool = False) -> None:
    """Write a file or object so that a reader never sees half of it; ``lasting``: also if the machine stops right after."""
    if isinstance(place, ObjectPath):
        place.write_bytes(content)
        return
    # A block has one writer: what a crash left of it is overwritten by the next run. Lasting files may have several.
    part = place.with_name(f".{place.name}.{os.getpid()}.part" if lasting else f".{place.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def remove_tree(place: StorePath) -> None:
    """Remove a folder with all that is in it, or all objects below a key; nothing where there is none."""
    if not isinstance(place, ObjectPath):
        shutil.rmtree(place, ignore_errors=True)
        return
    keys = [key for key, _ in place.below()]
    with storage_errors(place):
        for start in range(0, len(keys), 1000):
            obstore.delete(bucket_of(place.bucket), keys[start : start + 1000])


def tree_size(place: StorePath) -> int:
    """Bytes of all files or objects below a place."""
    if isinstance(place, ObjectPath):
        return sum(size for _, size in place.below())
    return sum(entry.lstat().st_size for entry in place.rglob("*") if entry.is_file())


@contextmanager
def local_copy(place: StorePath) -> Iterator[Path]:
    """The file itself, or for as long as the block runs a copy of the object on disk."""
    if not isinstance(place, ObjectPath):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="clusternet-") as folder:
        copy = Path(folder) / (place.name or "object")
        copy.write_bytes(place.read_bytes())
        yield copy


def buffer_of(place: StorePath) -> io.BytesIO:
    """The content in memory, as a file: for small tables."""
    return io.BytesIO(place.read_bytes())


def _shown(url: str) -> str:
    """A URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]


def _reason(error: BaseException) -> str:
    """The first line of what the client says, without its debug output."""
    return str(error).split("\n", maxsplit=1)[0].split("Debug source")[0].strip().rstrip(".:")[:300]
