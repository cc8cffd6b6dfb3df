"""Documents into MongoDB, through motor or through PyMongo's own asyncio client.

The drivers differ in one class. What an error means is decided here, from its codes: whether a
document is there (`_done`), whether to come back later (`Unavailable`) or not (`Refused`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, TypedDict, cast

from ecsnet.analytics.sink import Refused, Sink, Unavailable
from ecsnet.analytics.target import NO_ANSWERS, conceal, parse_target
from ecsnet.analytics.values import Document
from ecsnet.errors import UsageError

try:
    import bson.errors
    import pymongo
    import pymongo.errors as errors
    from pymongo.read_preferences import Primary
    from pymongo.write_concern import WriteConcern
except ImportError as error:
    raise UsageError(
        "PyMongo is missing, so nothing can be shipped to MongoDB: pip install 'ecsnet[analytics]'"
    ) from error

__all__ = ["Driver", "MotorSink", "PyMongoSink", "open_sink"]

_log = logging.getLogger("ecsnet.analytics")

Driver: TypeAlias = Literal["motor", "pymongo"]
"""The driver for MongoDB: motor, or PyMongo's own asyncio client."""

TIMEOUT_MS: Final = 5000
"""The longest time for one command, whatever the server does. A URI may ask for less."""

_CLOSE_SECONDS: Final = 0.5

_Keys: TypeAlias = list[tuple[str, int]]

INDEXES: Final[dict[str, tuple[_Keys, ...]]] = {
    "server_events": (
        [("match", 1), ("tick", 1)],
        [("match", 1), ("type", 1)],
        [("type", 1), ("started", 1)],
    ),
    "game_state": ([("match", 1), ("tick", 1)],),
}
"""The indexes that reports use: one match by tick, one kind of event in it, and all matches."""

_DUPLICATE: Final = 11000

# fmt: off
# What a server says in passing: it shuts down, steps down, waits for others, is too busy.
_PASSING: Final = frozenset((
    6, 7, 24, 46, 50, 63, 64, 79, 89, 91, 94, 100, 112, 133, 134, 146, 150, 189, 202, 261, 262,
    371, 462, 9001, 10058, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 16500,
))
# fmt: on
# What somebody has to do something about: authorisation, quota, space.
_ALLOWED_LATER: Final = frozenset((11, 13, 18, 31, 391, 8000, 12501, 14031))
_LATER: Final = _PASSING | _ALLOWED_LATER
_LATER_LABELS: Final = ("RetryableWriteError", "RetryableError", "SystemOverloadedError")

# What a server says that has no such index or option.
_NOT_THERE: Final = frozenset((2, 9, 20, 27, 40, 59, 67, 72, 115, 197, 238, 40415))
_OTHER_OPTIONS: Final = 85
_UNAUTHORISED: Final = 13

_DUPLICATE_MESSAGE: Final = re.compile(r"E11000 duplicate key error collection: \S+ index: (\S+) ")

# The server never saw the documents, or answered.
_NOT_CUT: Final = (
    errors.ServerSelectionTimeoutError,
    errors.NotPrimaryError,
    errors.WaitQueueTimeoutError,
)

# Documents that cannot be made into BSON.
_UNFIT: Final = (bson.errors.BSONError, ValueError, OverflowError, TypeError)


class _Found(Protocol):
    def to_list(self, length: int | None) -> Awaitable[list[Document]]: ...


class _Collection(Protocol):
    """The methods of a collection that we use and both drivers have."""

    def insert_many(self, documents: Sequence[Document], ordered: bool) -> Awaitable[object]: ...

    def create_index(self, keys: _Keys, **options: object) -> Awaitable[str]: ...

    def find(self, wanted: object, fields: object, /) -> _Found: ...


class _Database(Protocol):
    """Likewise."""

    def __getitem__(self, name: str, /) -> _Collection: ...

    def command(self, command: Mapping[str, object], /) -> Awaitable[object]: ...


class _MongoSink(ABC):
    """The part that both sinks share. Make, use and close it on one running event loop.

    Args:
        uri: Where to, with credentials where the server wants them. Its database is used, or
            ``ecsnet``; its write concern, or ``majority``.
        expire_days: After how many days the server may delete a document, where it can.
        options: For the driver.

    Raises:
        UsageError: The driver is missing, or the URI asks for what cannot be.
    """

    def __init__(self, uri: str, *, expire_days: float | None = None, **options: object) -> None:
        asyncio.get_running_loop()  # drivers bind themselves to one when they are first used
        if expire_days is not None and not expire_days > 0:
            raise UsageError(f"expire_days={expire_days!r}: give a number above 0, or leave it out")
        self.target: Final = parse_target(uri)
        self._expire = None if expire_days is None else max(1, round(expire_days * 86_400))
        self._prepared: set[str] = set()
        asked = self.target.options.get("timeoutms", "")
        timeout = int(asked) if asked.isdecimal() else 0
        options["timeoutMS"] = timeout if 0 < timeout < TIMEOUT_MS else TIMEOUT_MS
        try:
            self._database = self._open(uri, self.target.database, options)
        except (errors.PyMongoError, ValueError, TypeError) as error:
            # Not chained: what drivers say of a URI may hold its password.
            raise UsageError(f"the MongoDB URI cannot be used: {conceal(str(error))}") from None

    @abstractmethod
    def _open(self, uri: str, database: str, options: dict[str, Any]) -> _Database:
        """Make the client, and what stands for the database."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the client."""

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        holding = False
        try:
            if not documents:
                await self._database.command({"ping": 1})
                return
            if collection not in self._prepared:
                await self._prepare(collection)
                self._prepared.add(collection)
            holding = True
            await self._insert(self._database[collection], documents)
        except errors.BulkWriteError as error:
            raise _verdict(error) from error
        except errors.PyMongoError as error:
            raise _meaning(error, holding=holding) from error
        except _UNFIT as error:
            raise Refused(conceal(f"{type(error).__name__}: {error}")) from error

    async def aclose(self) -> None:
        # A server that hangs would keep the driver's goodbye waiting.
        with contextlib.suppress(TimeoutError, errors.PyMongoError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._close()

    async def _insert(self, collection: _Collection, documents: Sequence[Document]) -> None:
        try:
            await collection.insert_many(documents, ordered=False)
        except errors.BulkWriteError as error:
            unsure = _unsure(error.details)
            if unsure is None:
                raise
            if unsure:
                # Not every server says which index it was. What is there under its id is done.
                ids = list({documents[index]["_id"]: None for index in unsure})
                found = await collection.find({"_id": {"$in": ids}}, {"_id": 1}).to_list(None)
                if len(found) < len(ids):
                    raise

    # Indexes.

    async def _prepare(self, collection: str) -> None:
        """Make the indexes; without them reports are slow, and nothing is wrong."""
        try:
            for keys in INDEXES.get(collection, ()):
                await self._database[collection].create_index(keys)
        except (errors.NetworkTimeout, errors.ExecutionTimeout) as error:
            await self._database.command({"ping": 1})  # raises when it is the server that hangs
            _skip(collection, "an index", error)  # of a large collection; the server goes on
        except errors.OperationFailure as error:
            if error.code in _LATER and error.code != _UNAUTHORISED:
                raise
            _skip(collection, "an index", error)
        if self._expire is not None:
            await self._prepare_expiry(collection, self._expire)

    async def _prepare_expiry(self, collection: str, seconds: int) -> None:
        keys = [("time", 1)]
        try:
            try:
                await self._database[collection].create_index(keys, expireAfterSeconds=seconds)
            except errors.OperationFailure as error:
                if error.code != _OTHER_OPTIONS:
                    raise
                index = {"keyPattern": dict(keys), "expireAfterSeconds": seconds}
                await self._database.command({"collMod": collection, "index": index})
        except errors.OperationFailure as error:
            if error.code in _NOT_THERE:
                _log.warning(
                    "analytics: this server does not delete old documents by itself (%s): those"
                    " in %s stay until somebody does",
                    conceal(_said(error)),
                    collection,
                )
            else:
                _skip(collection, "the index that lets old documents expire", error)


class MotorSink(_MongoSink):
    """Documents into MongoDB through motor."""

    def _open(self, uri: str, database: str, options: dict[str, Any]) -> _Database:
        try:
            from motor.motor_asyncio import AsyncIOMotorClient
        except ImportError as error:
            raise UsageError(
                "motor is missing, so nothing can be shipped to MongoDB: pip install"
                " 'ecsnet[analytics]'"
            ) from error
        client = self._client = AsyncIOMotorClient[Document](uri, **options)
        return cast(_Database, client.get_database(database, **_durable(client.write_concern)))

    async def _close(self) -> None:
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self._client.close()
            with contextlib.suppress(RuntimeError):  # nobody waited that long
                loop.call_soon_threadsafe(closed.set)

        # Not one of the loop's threads: those are waited for.
        threading.Thread(target=close, name="close", daemon=True).start()
        await closed.wait()


class PyMongoSink(_MongoSink):
    """Documents into MongoDB through PyMongo's asyncio client."""

    def _open(self, uri: str, database: str, options: dict[str, Any]) -> _Database:
        client = self._client = pymongo.AsyncMongoClient[Document](uri, **options)
        return cast(_Database, client.get_database(database, **_durable(client.write_concern)))

    async def _close(self) -> None:
        await self._client.close()


def open_sink(uri: str, driver: Driver, *, expire_days: float | None = None) -> Sink:
    """Open a sink for a database, on the running event loop.

    Args:
        uri: Where to.
        driver: Which one to use.
        expire_days: After how many days the server may delete a document.

    Raises:
        UsageError: The driver is missing, or the URI asks for what cannot be.
    """
    kind = MotorSink if driver == "motor" else PyMongoSink
    return kind(uri, expire_days=expire_days)


class _Durable(TypedDict):
    write_concern: WriteConcern
    read_preference: Primary


def _durable(asked: WriteConcern) -> _Durable:
    """Return the concerns with which acknowledged documents stay, and are seen when read.

    Raises:
        UsageError: The URI wants no answers: then nobody knows what is there.
    """
    if not asked.acknowledged:
        raise UsageError(NO_ANSWERS)
    document = {"w": "majority", **asked.document}
    concern = WriteConcern(document["w"], document.get("wtimeout"), document.get("j"))
    return {"write_concern": concern, "read_preference": pymongo.ReadPreference.PRIMARY}


# What errors mean.


def _verdict(error: errors.BulkWriteError) -> Unavailable | Refused:
    """Say whether the documents that were not written are refused, or to be sent again."""
    details = error.details
    failures = details.get("writeErrors") or []
    passing = [
        *(details.get("writeConcernErrors") or []),
        *(failure for failure in failures if failure.get("code") in _LATER),
    ]
    if passing or not failures or _has_label(error):
        return Unavailable(_said_in(passing[0]) if passing else _said(error))
    news = (failure for failure in failures if _of_id(failure) is not True)
    return Refused(_said_in(next(news, failures[0])))


def _meaning(error: errors.PyMongoError, *, holding: bool) -> Unavailable | Refused:
    """Say whether another error, with documents at the server or not, is a refusal or an outage."""
    reason = conceal(_said(error))
    if isinstance(error, errors.ConnectionFailure):
        return Unavailable(reason, cut=holding and not isinstance(error, _NOT_CUT))
    if isinstance(error, errors.ConfigurationError | errors.WriteConcernError) or error.timeout:
        return Unavailable(reason)  # of a configuration: what the name server says
    if _has_label(error) or (isinstance(error, errors.OperationFailure) and error.code in _LATER):
        return Unavailable(reason)
    return Refused(reason)


def _unsure(details: Mapping[str, Any]) -> list[int] | None:
    """Find out whether all documents that were not written may be in the collection already.

    Returns:
        The documents, by index, of which the server did not say that it is their ``_id`` that is
        there; None when something else is wrong with any.
    """
    failures = details.get("writeErrors")
    if details.get("writeConcernErrors") or not failures:
        return None
    unsure: list[int] = []
    for failure in failures:
        of_id = _of_id(failure) if failure.get("code") == _DUPLICATE else False
        if of_id is False:
            return None
        if of_id is None:
            unsure.append(failure["index"])
    return unsure


def _of_id(failure: Mapping[str, Any]) -> bool | None:
    """Return whether a duplicate is one of ``_id``; None when the server does not tell."""
    if "keyPattern" in failure:
        return dict(failure["keyPattern"]) == {"_id": 1}
    match = _DUPLICATE_MESSAGE.match(str(failure.get("errmsg")))
    return None if match is None else match[1] == "_id_"


def _has_label(error: errors.PyMongoError) -> bool:
    return any(map(error.has_error_label, _LATER_LABELS))


def _said(error: errors.PyMongoError) -> str:
    """Return the message of an error, without the documents and the server's whole reply."""
    details = getattr(error, "details", None)
    if isinstance(details, Mapping) and details.get("errmsg"):
        return _said_in(details)
    # PyMongo goes on with its settings and all that it knows of the servers.
    return conceal(re.split(r" \(configured timeouts|, Timeout: ", str(error))[0])


def _said_in(reply: Mapping[str, Any]) -> str:
    return conceal(f"{reply.get('errmsg')} (code {reply.get('code')})")


def _skip(collection: str, what: str, error: errors.PyMongoError) -> None:
    _log.warning(
        "analytics: %s could not be made in %s (%s): reports from this database take longer",
        what,
        collection,
        _said(error),
    )
