"""The files of a shipper for each target: how far it got, and which documents the target refused.

``position-<hash>.json`` says where in each series everything before is in the target's database.
``aside-<hash>.msgpack`` holds the documents that the database did not take: they stand behind the
position and would be lost without it. ``position-<hash>.lock`` is held by the one shipper that
ships to the target.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from ecsnet.analytics.folder import JournalError, _try_lock, saved_places, sync_folder
from ecsnet.analytics.reader import Offset
from ecsnet.analytics.segment import Series
from ecsnet.analytics.values import Document
from ecsnet.validation.wording import file_trouble

__all__ = ["Checkpoint", "DeadLetter", "TargetInUseError"]

_PREFIX = struct.Struct("<II")  # length and CRC-32 of what follows


class TargetInUseError(JournalError):
    """Another shipper ships the same journal to the same database."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A document that a database did not take.

    Attributes:
        series: Of the journal it comes from.
        document: The document.
        reason: What the database said.
    """

    series: Series
    document: Document
    reason: str


class Checkpoint:
    """The checkpoint of one target, and the right to ship to it.

    Args:
        folder: Of the journal.
        target: The target's name, without secrets.

    Attributes:
        folder: Likewise.
        target: Likewise.
        places: By series: all documents before it are done.

    Raises:
        TargetInUseError: Another shipper has the target.
        JournalError: The folder cannot be written to, or what is remembered cannot be read.
    """

    def __init__(self, folder: Path, target: str) -> None:
        self.folder: Final = folder
        self.target: Final = target
        digest = hashlib.sha256(target.encode()).hexdigest()[:16]
        self._path = folder / f"position-{digest}.json"
        self._aside = folder / f"aside-{digest}.msgpack"
        try:
            self._lock = (folder / f"position-{digest}.lock").open("ab")
        except OSError as error:
            raise JournalError(
                f"the journal in {folder} cannot be shipped: {file_trouble(error)}; a shipper"
                " keeps its position there and has to be allowed to write"
            ) from error
        try:
            if not _try_lock(self._lock):
                raise TargetInUseError(
                    f"another shipper ships {folder} to {target}: a server that was given the"
                    " database does so by itself"
                )
            self.places = self._saved = self._load()
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another shipper have the target."""
        self._lock.close()

    def save(self, places: Mapping[Series, Offset]) -> None:
        """Remember, on the disk, how far it is.

        Args:
            places: By series, as for ``places``.
        """
        if places == self._saved:
            return
        self.places = dict(places)
        saved: dict[str, object] = {"target": self.target}
        saved.update((series.value, list(places[series])) for series in Series)
        _replace(self._path, json.dumps(saved).encode())
        self._saved = self.places

    def others(self) -> list[dict[Series, Offset]]:
        """Return the offsets of all other targets that the journal was ever shipped to."""
        paths = (path for path in self.folder.glob("position-*.json") if path != self._path)
        return [places for path in paths if (places := _places_in(path)) is not None]

    def aside(self) -> list[DeadLetter]:
        """Return the documents that were set aside so far, the oldest first."""
        try:
            data = self._aside.read_bytes()
        except FileNotFoundError:
            return []
        found: list[DeadLetter] = []
        at = 0
        while at + _PREFIX.size <= len(data):
            length, check = _PREFIX.unpack_from(data, at)
            payload = data[at + _PREFIX.size : at + _PREFIX.size + length]
            if len(payload) < length or crc32(payload) != check:
                break
            series, document, reason = msgspec.msgpack.decode(payload)
            found.append(DeadLetter(Series(series), document, reason))
            at += _PREFIX.size + length
        if at < len(data):  # a shipper died in the middle, and before the position moved
            os.truncate(self._aside, at)
        return found

    def set_aside(self, documents: Iterable[DeadLetter]) -> None:
        """Add to what is set aside. It is on the disk when this returns."""
        data = b"".join(map(_framed, documents))
        with self._aside.open("ab", buffering=0) as file:
            begin = file.tell()
            try:
                if file.write(data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(begin)
                raise
        sync_folder(self.folder)

    def keep_aside(self, documents: Iterable[DeadLetter]) -> None:
        """Let this be all that is set aside."""
        data = b"".join(map(_framed, documents))
        if data:
            _replace(self._aside, data)
        else:
            self._aside.unlink(missing_ok=True)

    def _load(self) -> dict[Series, Offset]:
        places = _places_in(self._path)
        if places is None:
            raise JournalError(
                f"{self._path} is damaged: delete it, and everything is offered to {self.target}"
                " once more; what is there already is not doubled"
            )
        return places


def _places_in(path: Path) -> dict[Series, Offset] | None:
    """Read the offsets in a file: the beginning without a file, None where it has none."""
    try:
        saved = saved_places(path)
    except FileNotFoundError:
        return {series: Offset() for series in Series}
    return None if saved is None else {series: Offset(*saved[series]) for series in Series}


def _framed(aside: DeadLetter) -> bytes:
    payload = msgspec.msgpack.encode((aside.series, aside.document, aside.reason))
    return _PREFIX.pack(len(payload), crc32(payload)) + payload


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is the old or the new one, whole."""
    written = path.with_suffix(".tmp")
    with written.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileNotFoundError):  # the folder was deleted while in use
        written.replace(path)
    sync_folder(path.parent)
