"""Every exception that ecsnet raises.

The tree::

    EcsnetError
    ├── UsageError                 this program misuses ecsnet: mend the program
    │   ├── DeclarationError       a class, an annotation or a name cannot be declared like that
    │   ├── BadValueError          a value does not fit the field it was put in
    │   ├── OutsideTickError       net.commands(), net.tick() or net.rng() outside a tick
    │   ├── WrongThreadError       a world used from a second thread
    │   ├── WorldError             a world used after it was closed, or left switched
    │   ├── ReadOnlyError          client code wrote a replicated component
    │   └── AddressInUseError      the port to serve on is taken
    └── PeerError                  the other end, or the network, did something
        ├── BadMessageError        a message from a peer does not mean anything
        ├── SchemaMismatchError    the two ends declare different games
        ├── RefusedError           the server refused the connection
        └── DisconnectedError      the connection ended

``UsageError`` is raised at the line that is wrong. ``PeerError`` is not raised by
``poll``, ``send`` or a running server: there, what the network does is an event. It is
raised where somebody waits for a result and by the functions that read what a peer sent.
``OSError`` and msgspec's exceptions never leave ecsnet but as the ``__cause__`` of one of
these, where they say more than it does.
"""

from __future__ import annotations

__all__ = [
    "AddressInUseError",
    "BadMessageError",
    "BadValueError",
    "DeclarationError",
    "DisconnectedError",
    "EcsnetError",
    "OutsideTickError",
    "PeerError",
    "ReadOnlyError",
    "RefusedError",
    "SchemaMismatchError",
    "UsageError",
    "WorldError",
    "WrongThreadError",
]


class EcsnetError(Exception):
    """The root of the tree: catches whatever ecsnet raises, and nothing else."""


class UsageError(EcsnetError):
    """This program misuses ecsnet; the message says how, and what to write instead."""


class DeclarationError(UsageError):
    """A class, an annotation or a name cannot be declared like that."""


class BadValueError(UsageError):
    """A value cannot cross the wire in the field it was put in."""


class OutsideTickError(UsageError):
    """Something that belongs to the running tick was asked for outside a tick."""


class WrongThreadError(UsageError):
    """A world was used from another thread than the one that made it."""


class WorldError(UsageError):
    """A world was used after it was closed, or code left another world current."""


class ReadOnlyError(UsageError):
    """Client code wrote a replicated component; only the server may (debug mode)."""


class AddressInUseError(UsageError):
    """The address to serve on is taken by another socket."""


class PeerError(EcsnetError):
    """The other end, or the network between, did something that cannot be used."""


class BadMessageError(PeerError):
    """A message from a peer passed the decode gate and still does not mean anything."""


class SchemaMismatchError(PeerError):
    """The two ends declare different games; the message names the first difference."""


class RefusedError(PeerError):
    """The server refused the connection.

    Args:
        reason: Why, as the server said it (``"full"``, ``"version"``, ``"schema"``, ...).
        message: A sentence for the player or the log, possibly empty.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(f"the server refused the connection: {message or reason}")
        self.reason = reason
        self.message = message


class DisconnectedError(PeerError):
    """The connection ended.

    Args:
        reason: Why (``"timeout"``, ``"shutdown"``, ``"kicked"``, ``"left"``, ...).
        message: A sentence for the player or the log, possibly empty.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        why = f"{reason}: {message}" if message else reason
        super().__init__(f"disconnected: {why}")
        self.reason = reason
        self.message = message
