"""The database that a MongoDB URI names, told without its secrets and without a driver."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from ecsnet.errors import UsageError

__all__ = ["DATABASE", "NO_ANSWERS", "Target", "conceal", "parse_target", "target_name"]

NO_ANSWERS = (
    "the MongoDB URI says w=0, so the server would not answer, and nobody would know what it lost:"
    " leave w out for w=majority, or write w=1"
)
"""The reason for refusing a URI with w=0."""

DATABASE = "ecsnet"
"""The database where the URI names none."""

# What is typed behind // and before @ is percent-encoded, or a password could be read as a host.
_URI = re.compile(
    r"(?P<scheme>mongodb|mongodb\+srv)://(?:[^@/?#]*@)?(?P<hosts>[^@/?#]+)"
    r"(?:/(?P<database>[^@/?#]*))?(?:\?(?P<options>[^@#]*))?",
)
_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.%a-z]+\])(?::(\d{1,5}))?")
_SECRET = re.compile(r"//[^/?#\s]*@")


@dataclass(frozen=True, slots=True)
class Target:
    """A database on one or more hosts.

    Attributes:
        name: Hosts and database; the same for all URIs that lead to the same place.
        database: The database's name.
        options: What the URI asks for, by name in lower case.
    """

    name: str
    database: str
    options: dict[str, str]


def parse_target(uri: str) -> Target:
    """Take a URI apart.

    Raises:
        UsageError: It is none of MongoDB's, or asks for writes without answers; the message does
            not repeat it.
    """
    match = _URI.fullmatch(uri.strip())
    srv = match is not None and match["scheme"] == "mongodb+srv"
    hosts = [_host(host, srv=srv) for host in match["hosts"].split(",")] if match else [None]
    if match is None or None in hosts:
        raise UsageError(
            "this is no MongoDB URI: write mongodb://HOST:PORT/DATABASE, where : / ? # @ in a user"
            " name, password or option are percent-encoded"
        )
    names = ",".join(sorted(filter(None, hosts)))
    database = unquote(match["database"] or "") or DATABASE
    options: dict[str, str] = {}
    for option in re.split("[&;]", match["options"] or ""):
        key, _, value = option.partition("=")
        if key:
            options[key.lower()] = unquote(value)
    if options.get("w") == "0":
        raise UsageError(NO_ANSWERS)
    return Target(f"{'srv:' * srv}{names}/{database}", database, options)


def target_name(uri: str) -> str:
    """Hosts and database of a URI: for logs and file names, without its secrets.

    Raises:
        UsageError: It is no MongoDB URI.
    """
    return parse_target(uri).name


def conceal(text: str) -> str:
    """Make a driver's message fit for a log: one short line without user names and passwords."""
    line = _SECRET.sub("//***@", "".join(c if c.isprintable() else " " for c in text))
    return line if len(line) <= 200 else f"{line[:197]}..."


def _host(text: str, *, srv: bool) -> str | None:
    """Return a host and its port; None when it is neither."""
    if text.lower().startswith("%2f"):  # a socket in the file system
        return unquote(text)
    match = _HOST.fullmatch(text.lower())
    if match is None:
        return None
    return match[1] if srv else f"{match[1]}:{match[2] or 27017}"
