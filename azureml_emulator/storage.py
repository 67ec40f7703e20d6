"""JSON documents and blobs, as files in a folder."""

import hashlib
import json
import os
import threading
import uuid
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from .routes import Refusal

Document = Any


def now() -> str:
    """The time as Azure ML writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0+00:00")


def new_id() -> str:
    return str(uuid.uuid4())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"~{uuid.uuid4().hex}")  # no blob begins with a tilde
    unfinished.write_bytes(content)
    unfinished.replace(path)


class Documents:
    """JSON documents by kind and key, one file a kind. A document is never changed in place: put a new one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._kinds: dict[str, dict[str, Document]] = {}

    def _kind(self, kind: str) -> dict[str, Document]:
        if kind not in self._kinds:
            path = self._folder / f"{kind}.json"
            self._kinds[kind] = json.loads(path.read_bytes()) if path.exists() else {}
        return self._kinds[kind]

    def get(self, kind: str, key: str) -> Document:
        """Return a document, or None."""
        with self._lock:
            return self._kind(kind).get(key)

    def all(self, kind: str) -> list[Document]:
        with self._lock:
            return list(self._kind(kind).values())

    def put(self, kind: str, key: str, document: Document) -> Document:
        with self._lock:
            self._kind(kind)[key] = document
            self._save(kind)
        return document

    def append(self, kind: str, key: str, make: Any) -> Document:
        """Add to the list that a key holds what ``make`` makes of the list so far."""
        with self._lock:
            versions = self._kind(kind).get(key, [])
            self.put(kind, key, [*versions, made := make(versions)])
        return made

    def update(self, kind: str, key: str, **changes: Any) -> Document:
        with self._lock:
            return self.put(kind, key, {**self._kind(kind)[key], **changes})

    def remove(self, kind: str, key: str) -> Document | None:
        with self._lock:
            removed = self._kind(kind).pop(key, None)
            self._save(kind)
        return removed

    def _save(self, kind: str) -> None:
        write_whole(self._folder / f"{kind}.json", json.dumps(self._kinds[kind], indent=1).encode())


class Blobs:
    """Files by key: ``account/container/path``. A blob may have the name of a folder, so files begin with =."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: str) -> Path:
        """Return where a blob lies: always below the folder, or this is a Refusal."""
        *folders, name = key.split("/")
        if any(part in ("", ".", "..") for part in (*folders, name)) or "\0" in key:
            raise Refusal(400, "InvalidUri", f"{key!r} names no blob: empty segments, '.' and '..' are not served.")
        return self._folder.joinpath(*(quote(part, safe=" ") for part in folders), "=" + quote(name, safe=" "))

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def read(self, key: str) -> bytes:
        return self.path(key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        write_whole(self.path(key), content)

    def remove(self, key: str) -> None:
        self.path(key).unlink()

    def headers(self, key: str) -> dict[str, str]:
        """Return what a client wants to know besides the content."""
        found = self.path(key).stat()
        etag = hashlib.sha256(f"{key} {found.st_mtime_ns} {found.st_size}".encode()).hexdigest()[:15]
        return {"ETag": f'"0x{etag.upper()}"', "Last-Modified": formatdate(found.st_mtime, usegmt=True)}

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with a prefix, in order."""
        start = self.path(prefix.rsplit("/", 1)[0] + "/x").parent
        found = []
        for folder, _, files in os.walk(start):
            parents = [unquote(part) for part in Path(folder).relative_to(self._folder).parts]
            found += ["/".join((*parents, unquote(name[1:]))) for name in files if name.startswith("=")]
        return sorted(key for key in found if key.startswith(prefix))

    def store(self, folder: Path, prefix: str) -> None:
        """Put a folder's files below a prefix."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def fetch(self, prefix: str, folder: Path) -> None:
        """Put copies of all that lies below a prefix into a folder."""
        for key in self.keys(f"{prefix}/"):
            target = folder / key.removeprefix(f"{prefix}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(key))
