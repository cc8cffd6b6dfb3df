"""The analytics options of a game."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ecsnet.errors import UsageError
from ecsnet.schema import Suspect, component_type
from ecsnet.validation.arguments import is_number, is_text
from ecsnet.validation.wording import brief

__all__ = [
    "FOLDER",
    "MONGO_VARIABLE",
    "MOST_DAYS",
    "Analytics",
    "folder_fault",
    "is_days",
    "keeping",
    "point_of",
]

FOLDER = "analytics"
"""The folder of a journal, where nobody names one."""

MONGO_VARIABLE = "ECSNET_MONGO_URI"
"""The environment variable that names the database where nothing else does."""


MOST_DAYS = 36_500
"""Days of a hundred years: nothing is kept for longer on purpose."""

_MOST_TICKS = 1_000_000_000
_NAME_LENGTH = 255  # of a server's, in characters


@dataclass(frozen=True)
class Analytics:
    """The analytics options of a server: ``net.ServerWorld(analytics=net.Analytics("data"))``.

    Args:
        folder: Of the journal; made when it is not there, and used by one server at a time.
        interval: Ticks from one snapshot to the next; about a second when left out.
        every: The same for single component types.
        leave_out: Component types that are not in snapshots.
        suspects: For whole component types, what they never do in honest play: ``x`` and ``y``,
            and ``z``, are one point where there are such fields, else all of their numbers. For
            single fields of your own, write `Suspect` at the field.
        mongo: URI of a MongoDB that everything is shipped to as well; what the environment variable
            ``ECSNET_MONGO_URI`` says when left out.
        driver: What talks to the database: motor, or PyMongo's own asynchronous client.
        expire_days: Days after which the database deletes documents, where it can.
        max_bytes: Bytes that the journal may take. Beyond, the oldest goes.
        max_days: Days after which parts of the journal are deleted.
        server: What this server is called in documents; the machine's name when left out.

    Raises:
        UsageError: An argument is invalid.
    """

    folder: str | os.PathLike[str] = FOLDER
    interval: int | None = None
    every: Mapping[type, int] = field(default_factory=dict)
    leave_out: Collection[type] = ()
    suspects: Mapping[type, Suspect] = field(default_factory=dict)
    mongo: str | None = field(default=None, repr=False)  # there may be a password in it
    driver: Literal["motor", "pymongo"] = "motor"
    expire_days: float | None = None
    max_bytes: int = 1 << 30
    max_days: float | None = None
    server: str | None = None

    def __post_init__(self) -> None:
        fault = folder_fault(self.folder)
        if fault is not None:
            shown, says = fault
            raise UsageError(f"Analytics({shown}): {says}")
        for name, given in (("every", self.every), ("suspects", self.suspects)):
            if not isinstance(given, Mapping):
                raise UsageError(
                    f"Analytics({name}={brief(given)}): a dict from component types,"
                    f" {name}={{Position: ...}}"
                )
        left_out: object = self.leave_out
        if isinstance(left_out, str) or not isinstance(left_out, Collection):
            raise UsageError(f"Analytics(leave_out={brief(left_out)}): a list of component types")
        for cls in (*self.every, *self.leave_out, *self.suspects):
            component_type(cls, "Analytics()")
        for name, ticks in [
            ("interval", self.interval),
            *((f"every[{cls.__name__}]", ticks) for cls, ticks in self.every.items()),
        ]:
            if ticks is not None and not (type(ticks) is int and 1 <= ticks <= _MOST_TICKS):
                raise UsageError(
                    f"Analytics({name}={brief(ticks)}): a whole number of ticks, from 1 to"
                    f" {_MOST_TICKS:,}"
                )
        both = [cls.__name__ for cls in self.every if cls in self.leave_out]
        if both:
            raise UsageError(
                f"Analytics(): {both[0]} is in every and in leave_out: say one of the two"
            )
        for cls, limits in self.suspects.items():
            if not isinstance(limits, Suspect):
                raise UsageError(
                    f"Analytics(suspects={{{cls.__name__}: {brief(limits)}}}): give a"
                    " net.Suspect(...)"
                )
            if not point_of(cls):
                raise UsageError(
                    f"Analytics(suspects={{{cls.__name__}: ...}}): it has no field that is a number"
                )
        if not isinstance(self.mongo, str | None):
            kind = type(self.mongo).__name__
            raise UsageError(f"Analytics(mongo=...): a text, mongodb://HOST:PORT/DB, not {kind}")
        if not is_text(self.driver) or self.driver not in ("motor", "pymongo"):
            raise UsageError(f"Analytics(driver={brief(self.driver)}): it is 'motor' or 'pymongo'")
        for name, days in (("expire_days", self.expire_days), ("max_days", self.max_days)):
            if days is not None and not (is_number(days) and is_days(days)):
                raise UsageError(
                    f"Analytics({name}={brief(days)}): a number of days, above 0 and below"
                    f" {MOST_DAYS:,}"
                )
        if type(self.max_bytes) is not int or not 1 << 20 <= self.max_bytes < 1 << 60:
            raise UsageError(
                f"Analytics(max_bytes={brief(self.max_bytes)}): a number of bytes, from 1 MiB on"
            )
        named: object = self.server
        if named is not None and not (
            isinstance(named, str) and 0 < len(named) <= _NAME_LENGTH and named.isprintable()
        ):
            raise UsageError(
                f"Analytics(server={brief(named)}): 1 to {_NAME_LENGTH} printable characters"
            )

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)


def folder_fault(folder: object) -> tuple[str, str] | None:
    """Explain why something is not the folder of a journal.

    Returns:
        What was given, as it may be shown, and what is wrong with it; None when nothing is.
    """
    given = os.fspath(folder) if isinstance(folder, str | os.PathLike) else folder
    if not is_text(given) or not given or "\0" in given:
        return brief(folder), "name a folder, such as 'data'"
    if given.startswith(("mongodb://", "mongodb+srv://")):  # there may be a password in it
        says = (
            "this is where the journal's folder goes, which is always written; name the database"
            " with mongo='mongodb://...', or --mongo"
        )
        return "'mongodb://...'", says
    return None


def is_days(number: float) -> bool:
    """Return whether something may be deleted after that number of days."""
    return 0 < number < MOST_DAYS


def point_of(cls: type) -> list[str]:
    """Return the fields of a component type that are one point: x, y and z, or all numbers."""
    numbers = [field.name for field in component_type(cls).fields if field.number]
    return [name for name in numbers if name in ("x", "y", "z")] or numbers


def keeping(
    options: Analytics | None,
    folder: str | os.PathLike[str] | None = None,
    mongo: str | None = None,
) -> Analytics | None:
    """Change a game's analytics by the command line; naming anything switches them on.

    Args:
        options: What the game says; None for none.
        folder: Of the journal; the game's where None.
        mongo: URI of the database; the game's where None.
    """
    if folder is not None:
        options = replace(options or Analytics(), folder=folder)
    if mongo is not None:
        options = replace(options or Analytics(), mongo=mongo)
    return options
