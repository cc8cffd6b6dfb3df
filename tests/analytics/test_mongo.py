"""The sinks, with a real server: what is written, and what errors mean."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pymongo
import pymongo.monitoring
import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from ecsnet.analytics.mongo import MotorSink, PyMongoSink
from ecsnet.analytics.sink import Refused, Unavailable
from ecsnet.analytics.values import Document
from ecsnet.errors import UsageError
from tests.analytics.made import MATCH, event, events
from tests.analytics.mongod import Mongod
from tests.analytics.proxy import Proxy

Kind = type[MotorSink] | type[PyMongoSink]
Use = Callable[[MotorSink | PyMongoSink], Coroutine[Any, Any, None]]

both = pytest.mark.parametrize("kind", [MotorSink, PyMongoSink])

EVENTS, STATES = "server_events", "game_state"


def use(kind: Kind, uri: str, what: Use, **options: Any) -> None:
    async def run() -> None:
        sink = kind(uri, **options)
        try:
            await what(sink)
        finally:
            await sink.aclose()

    asyncio.run(run())


def stored(uri: str, collection: str = EVENTS) -> list[dict[str, Any]]:
    with pymongo.MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        return list(client.get_default_database("ecsnet")[collection].find(sort=[("_id", 1)]))


async def insist(sink: MotorSink | PyMongoSink, made: list[Document]) -> None:
    """Write as soon as the driver has noticed that the server is back."""
    for _ in range(100):
        with contextlib.suppress(Unavailable):
            return await sink.write(EVENTS, made)
    raise AssertionError("the server never took it")


class Commands(pymongo.monitoring.CommandListener):
    """What was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        self.sent.append((event.command_name, dict(event.command)))

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        pass

    def named(self, name: str) -> list[dict[str, Any]]:
        return [command for sent, command in self.sent if sent == name]


# Writing.


@both
def test_documents_are_written_as_they_are(kind: Kind, database: str) -> None:
    made = [event(1, name="Ann", raw=b"\0\xff", many=[1, 2.5, None, {"items": [1]}]), event(2)]

    async def write(sink: MotorSink | PyMongoSink) -> None:
        await sink.write(EVENTS, made)

    use(kind, database, write)
    assert stored(database) == made


@both
def test_what_is_sent_is_small_safe_and_durable(kind: Kind, database: str) -> None:
    commands = Commands()

    async def write(sink: MotorSink | PyMongoSink) -> None:
        await sink.write(EVENTS, events(3))
        await sink.write(STATES, [{"_id": "1", "match": MATCH, "tick": 1}])
        await sink.write(STATES, [])

    use(kind, database, write, event_listeners=[commands])
    first, second = commands.named("insert")
    assert first["writeConcern"] == {"w": "majority"} == second["writeConcern"]
    assert first["ordered"] is False
    assert (first["insert"], second["insert"]) == (EVENTS, STATES)
    assert len(first["documents"]) == 3
    assert len(commands.named("ping")) == 1
    made = [dict(index["key"]) for c in commands.named("createIndexes") for index in c["indexes"]]
    assert {"match": 1, "tick": 1} in made
    assert {"match": 1, "type": 1} in made
    assert all(
        0 < command["maxTimeMS"] <= 5000 for command in (first, second) if "maxTimeMS" in command
    )


@both
def test_what_players_typed_is_never_a_key(kind: Kind, database: str) -> None:
    evil = ["$where", "a.b", "\0", "$ne"]
    commands = Commands()

    async def write(sink: MotorSink | PyMongoSink) -> None:
        named = [event(seq, name=text) for seq, text in enumerate(evil, 1)]
        await sink.write(EVENTS, named)
        await sink.write(EVENTS, named)  # and once more, so that they are looked up

    use(kind, database, write, event_listeners=[commands])

    def keys(value: object) -> set[str]:
        if isinstance(value, list | tuple):
            return set().union(*map(keys, value))
        if isinstance(value, dict):
            return set(map(str, value)) | keys(list(value.values()))
        return set()

    for name, command in commands.sent:
        if name in ("insert", "find"):
            assert not keys({k: v for k, v in command.items() if k != "filter"}) & set(evil)
            assert keys(command.get("filter", {})) <= {"_id", "$in"}
    assert [document["data"]["name"] for document in stored(database)] == evil


@both
@pytest.mark.parametrize("concern", ["w=1", "w=2&journal=true"])
def test_the_uri_may_ask_for_another_write_concern(kind: Kind, database: str, concern: str) -> None:
    commands = Commands()
    separator = "&" if "?" in database else "?"

    async def write(sink: MotorSink | PyMongoSink) -> None:
        try:
            await sink.write(EVENTS, events(1))
        except (Refused, Unavailable):
            pass  # one server alone cannot give w=2

    use(kind, f"{database}{separator}{concern}", write, event_listeners=[commands])
    wanted = {"w": 1} if concern == "w=1" else {"w": 2, "j": True}
    # PyMongo leaves the server's default out.
    assert commands.named("insert")[0].get("writeConcern", {"w": 1}) == wanted


@both
def test_no_answers_wanted_is_refused(kind: Kind) -> None:
    async def run() -> None:
        with pytest.raises(UsageError, match="w=0"):
            kind("mongodb://127.0.0.1:1/x?w=0")
        with pytest.raises(UsageError, match="w=0"):
            kind("mongodb://127.0.0.1:1/x", w=0)

    asyncio.run(run())


@both
def test_what_is_there_is_asked_of_the_server_that_takes_it(kind: Kind) -> None:
    async def run() -> None:
        sink = kind("mongodb://127.0.0.1:1/x?readPreference=secondary")
        database: Any = sink._database
        assert database.read_preference == pymongo.ReadPreference.PRIMARY
        await sink.aclose()

    asyncio.run(run())


@both
def test_a_uri_that_is_none_is_refused_without_its_password(kind: Kind) -> None:
    async def run() -> None:
        for uri in ("mongodb://u:hunter2@h:99999/x", "mongodb://u:hunter2@h/a%2Fb"):
            with pytest.raises(UsageError) as caught:
                kind(uri)
            assert "hunter2" not in str(caught.value)
            assert caught.value.__suppress_context__

    asyncio.run(run())


@both
def test_the_same_documents_again_are_no_failure(kind: Kind, database: str) -> None:
    async def write(sink: MotorSink | PyMongoSink) -> None:
        await sink.write(EVENTS, events(5))
        await sink.write(EVENTS, events(7))

    use(kind, database, write)
    assert stored(database) == events(7)


@both
def test_a_lost_answer_loses_and_doubles_nothing(kind: Kind, mongod: Mongod) -> None:
    async def write(sink: MotorSink | PyMongoSink) -> None:
        await sink.write(EVENTS, events(1))
        proxy.lose_answers(1)
        with pytest.raises(Unavailable) as caught:
            await sink.write(EVENTS, events(200))
        assert caught.value.cut
        assert len(stored(mongod.uri)) == 200, "the server had them"
        await sink.write(EVENTS, events(200))

    with Proxy(mongod.port) as proxy:
        use(kind, proxy.uri, write)
        assert proxy.lost == 1
    assert stored(mongod.uri) == events(200)


@both
def test_a_duplicate_of_another_index_is_not_done(kind: Kind, database: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](database) as client:
        collection = client.get_default_database()[EVENTS]
        collection.create_index([("tick", 1)], unique=True)

    async def write(sink: MotorSink | PyMongoSink) -> None:
        await sink.write(EVENTS, events(2))
        with pytest.raises(Refused, match="11000"):
            await sink.write(EVENTS, [event(1), {**event(9), "tick": 2}])

    use(kind, database, write)
    assert stored(database) == events(2)


@both
@pytest.mark.parametrize(
    "bad",
    [
        {"x": [[1]]},
        {"x": float("inf")},
        {"x": 1 << 64},
        {"x": "\ud800"},
        {"x\0": 1},
        {"x": object()},
    ],
    ids=["nested", "infinite", "large", "surrogate", "nul", "object"],
)
def test_what_cannot_be_stored_is_refused(kind: Kind, database: str, bad: dict[str, Any]) -> None:
    async def write(sink: MotorSink | PyMongoSink) -> None:
        with pytest.raises(Refused):
            await sink.write(EVENTS, [event(1), {**event(2), "data": bad}])
        await sink.write(EVENTS, [event(1)])

    use(kind, database, write)
    assert stored(database) == events(1)


@both
@pytest.mark.parametrize("bad", [[[1]], float("inf")], ids=["nested", "infinite"])
def test_what_a_server_cannot_store_is_refused(kind: Kind, mongod: Mongod, bad: Any) -> None:
    async def write(sink: MotorSink | PyMongoSink) -> None:
        with pytest.raises(Refused, match="code 2"):
            await sink.write(EVENTS, [event(1, x=bad), event(2)])

    use(kind, mongod.uri, write)
    assert len(stored(mongod.uri)) <= 1


@both
def test_a_connection_lost_over_documents_says_so(kind: Kind, mongod: Mongod) -> None:
    async def write(sink: MotorSink | PyMongoSink) -> None:
        await sink.write(EVENTS, events(1))
        with pytest.raises(Unavailable) as caught:
            await sink.write(EVENTS, [event(2, x=float("nan"))])
        assert caught.value.cut
        await sink.write(EVENTS, [])

    use(kind, mongod.uri, write)


@both
def test_a_server_that_is_gone_or_hangs_is_unavailable(kind: Kind, mongod: Mongod) -> None:
    async def write(sink: MotorSink | PyMongoSink) -> None:
        await sink.write(EVENTS, events(1))
        mongod.kill()
        for documents in ((), events(2)):
            with pytest.raises(Unavailable):
                await sink.write(EVENTS, documents)
        mongod.start()
        await insist(sink, events(2))
        mongod.freeze()
        with pytest.raises(Unavailable):
            await sink.write(EVENTS, events(3))
        mongod.thaw()
        await insist(sink, events(3))

    use(kind, f"{mongod.uri}/?timeoutMS=500", write)
    assert stored(mongod.uri) == events(3)


@both
@pytest.mark.parametrize(
    ("option", "seconds"),
    [("", 5), ("?timeoutMS=60000", 5), ("?timeoutMS=0", 5), ("?timeoutMS=90", 0.09)],
)
def test_no_command_takes_longer_than_5_s(kind: Kind, option: str, seconds: float) -> None:
    async def run() -> None:
        sink = kind(f"mongodb://127.0.0.1:1/x{option}")
        assert sink._client.options.timeout == seconds
        await sink.aclose()

    asyncio.run(run())


@both
def test_expiry_falls_back_where_there_is_none(
    kind: Kind, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    commands = Commands()

    async def write(sink: MotorSink | PyMongoSink) -> None:
        await sink.write(EVENTS, events(1))
        await sink.write(EVENTS, events(2))

    with caplog.at_level(logging.INFO, "ecsnet.analytics"):
        use(kind, database, write, expire_days=0.5, event_listeners=[commands])
    asked = [index for c in commands.named("createIndexes") for index in c["indexes"]]
    (expiry,) = [index for index in asked if "expireAfterSeconds" in index]
    assert (dict(expiry["key"]), expiry["expireAfterSeconds"]) == ({"time": 1}, 43200)
    assert len(caplog.records) <= 1
    assert stored(database) == events(2)


# What a real server cannot be made to say.


class Collection:
    """Answers as it is told."""

    def __init__(
        self, *answers: Exception | None, found: int = 0, answers_ping: bool = True
    ) -> None:
        self._answers_ping = answers_ping
        self.answers = list(answers)
        self.indexes: list[dict[str, Any]] = []
        self.index_answers: list[Exception] = []
        self.commands: list[Any] = []
        self._found = found
        self.only_expiry = True

    def __getitem__(self, name: str) -> Collection:
        return self

    async def insert_many(self, documents: Any, ordered: bool) -> None:
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer

    async def create_index(self, keys: Any, **options: Any) -> str:
        self.indexes.append({"keys": keys, **options})
        if self.index_answers and ("expireAfterSeconds" in options or not self.only_expiry):
            raise self.index_answers.pop(0)
        return "name"

    async def command(self, command: Any) -> None:
        self.commands.append(command)
        if "ping" in command and not self._answers_ping:
            raise NetworkTimeout("late")

    def find(self, wanted: Any, fields: Any) -> Collection:
        return self

    async def to_list(self, length: int | None) -> list[dict[str, Any]]:
        return [{"_id": number} for number in range(self._found)]


def offer(collection: Collection, kind: Kind = PyMongoSink, **options: Any) -> None:
    async def write(sink: MotorSink | PyMongoSink) -> None:
        sink._database = collection  # type: ignore[assignment]
        await sink.write(EVENTS, events(3))

    use(kind, "mongodb://127.0.0.1:1/x", write, **options)


def bulk(*failures: dict[str, Any], concern: list[dict[str, Any]] | None = None) -> BulkWriteError:
    indexed = [{"index": number, **failure} for number, failure in enumerate(failures)]
    return BulkWriteError({"writeErrors": indexed, "writeConcernErrors": concern or []})


def duplicate(index: str, keys: dict[str, int] | None = None) -> dict[str, Any]:
    message = f"E11000 duplicate key error collection: x.server_events index: {index} dup key: {{}}"
    return {"code": 11000, "errmsg": message, **({"keyPattern": keys} if keys else {})}


VAGUE = {"code": 11000, "errmsg": "E11000 duplicate key error collection: x.server_events"}
WAIT = {"code": 64, "errmsg": "waiting for replication timed out"}


@pytest.mark.parametrize(
    "error",
    [
        bulk(duplicate("_id_")),
        bulk(duplicate("_id_", {"_id": 1}), duplicate("anything", {"_id": 1})),
        bulk(duplicate("_id_"), duplicate("_id_"), duplicate("_id_")),
    ],
)
def test_only_duplicates_of_ids_are_done(error: BulkWriteError) -> None:
    offer(Collection(error))


def test_a_duplicate_of_no_index_is_looked_up() -> None:
    offer(Collection(bulk(VAGUE, VAGUE), found=2))
    with pytest.raises(Refused):
        offer(Collection(bulk(VAGUE, VAGUE), found=1))


@pytest.mark.parametrize(
    "failures",
    [
        (duplicate("tick_1"),),
        (duplicate("_id_", {"tick": 1}),),
        (duplicate("_id_"), duplicate("tick_1 index: _id_ ")),
        (duplicate("_id_"), {"code": 2, "errmsg": "invalid value"}),
        ({"code": 121, "errmsg": "Document failed validation"},),
    ],
)
def test_other_write_errors_are_refusals(failures: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(Refused):
        offer(Collection(bulk(*failures), found=3))


@pytest.mark.parametrize(
    "error",
    [
        bulk(concern=[WAIT]),
        bulk(duplicate("_id_"), concern=[WAIT]),
        bulk({"code": 2, "errmsg": "invalid"}, concern=[WAIT]),
        bulk({"code": 189, "errmsg": "primary stepped down"}),
        bulk(duplicate("_id_"), {"code": 14031, "errmsg": "disk full"}),
    ],
)
def test_what_was_not_written_for_good_is_not_done(error: BulkWriteError) -> None:
    with pytest.raises(Unavailable) as caught:
        offer(Collection(error, found=3))
    assert not caught.value.cut, "the server has answered"


def failure(code: int) -> OperationFailure:
    return OperationFailure("no", code, {"errmsg": "no", "code": code})


@pytest.mark.parametrize(
    "error",
    [
        *map(failure, (13, 18, 91, 189, 10107, 11600, 11602, 8000, 12501, 50, 262)),
        NotPrimaryError("not primary", {"code": 10107}),
        ServerSelectionTimeoutError("no servers"),
        WTimeoutError("wtimeout", 64),
        ConfigurationError("The DNS operation timed out"),
        OperationFailure("busy", 1, {"errorLabels": ["RetryableWriteError"], "errmsg": "busy"}),
    ],
    ids=str,
)
def test_what_passes_is_tried_later(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught:
        offer(Collection(error))
    assert not caught.value.cut


@pytest.mark.parametrize("error", [AutoReconnect("connection closed"), NetworkTimeout("late")])
def test_a_connection_lost_may_be_the_documents_fault(error: Exception) -> None:
    with pytest.raises(Unavailable) as caught:
        offer(Collection(error))
    assert caught.value.cut


def test_any_other_failure_is_a_refusal() -> None:
    for code in (2, 9, 10334, 17280):
        with pytest.raises(Refused, match=f"code {code}"):
            offer(Collection(failure(code)))


def test_where_documents_can_expire_they_do() -> None:
    collection = Collection()
    offer(collection, expire_days=2)
    assert collection.indexes[-1] == {"keys": [("time", 1)], "expireAfterSeconds": 172_800}


def test_another_expiry_takes_the_place_of_the_old_one() -> None:
    collection = Collection()
    collection.index_answers = [failure(85)]
    offer(collection, expire_days=2)
    (command,) = collection.commands
    assert command["index"] == {"keyPattern": {"time": 1}, "expireAfterSeconds": 172_800}


@pytest.mark.parametrize("code", [238, 27, 59, 115])
def test_a_server_without_expiry_is_told_of_once(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    collection = Collection()
    collection.index_answers = [failure(code)]
    with caplog.at_level(logging.INFO, "ecsnet.analytics"):
        offer(collection, expire_days=2)
    (record,) = caplog.records
    assert "does not delete old documents" in record.getMessage()


@pytest.mark.parametrize(
    ("error", "answers_ping", "goes_on"),
    [
        (NetworkTimeout("late"), True, True),
        (NetworkTimeout("late"), False, False),
        (AutoReconnect("connection closed"), True, False),
        (failure(13), True, True),
        (failure(67), True, True),
        (failure(18), True, False),
        (failure(189), True, False),
    ],
    ids=str,
)
def test_an_index_that_cannot_be_made_is_done_without(
    error: Exception, answers_ping: bool, goes_on: bool, caplog: pytest.LogCaptureFixture
) -> None:
    collection = Collection(answers_ping=answers_ping)
    collection.only_expiry = False
    collection.index_answers = [error]
    if goes_on:
        offer(collection)
        assert "index" in caplog.text
    else:
        with pytest.raises(Unavailable) as caught:
            offer(collection)
        assert not caught.value.cut, "it held no documents"


def test_an_expiry_in_no_days_is_refused() -> None:
    with pytest.raises(UsageError, match="expire_days=0"):
        offer(Collection(), expire_days=0)


def test_reasons_do_not_repeat_documents() -> None:
    error = bulk({"code": 2, "errmsg": "bad\n" + "x" * 1000, "op": {"name": "hunter2"}})
    with pytest.raises(Refused) as caught:
        offer(Collection(error))
    assert "hunter2" not in caught.value.reason
    assert "\n" not in caught.value.reason
    assert len(caught.value.reason) <= 200
