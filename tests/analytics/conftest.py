"""What the tests of the analytics share: a MongoDB, and a database in it for each test."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

import pytest

from tests.analytics.mongod import URI, Mongod, NoServerError, answers, binary

_NEED = {"mongo_server", "own_servers"}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the server before the first test: none of them has the time for it."""
    if os.environ.get(URI) or session.config.option.collectonly:
        return
    if any(_NEED & set(getattr(item, "fixturenames", ())) for item in session.items):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        with contextlib.suppress(NoServerError):  # each test says so
            binary() if reporter is None else binary(reporter.write_line)


def _need_server() -> None:
    """Skip without one, and fail where the tests are what everything waits for."""
    try:
        binary()
    except NoServerError as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"no MongoDB for the tests: {error}", pytrace=False)
        pytest.skip(f"no MongoDB for the tests: {error}")


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a server that runs for all tests, without a database."""
    given = os.environ.get(URI)
    if given:
        if not answers(given):
            pytest.fail(f"the server that {URI} names does not answer", pytrace=False)
        yield given
        return
    _need_server()
    server = Mongod(tmp_path_factory.mktemp("mongo"))
    yield server.uri
    server.close()


@pytest.fixture
def database(mongo_server: str) -> Iterator[str]:
    """The URI of a database of the test's own."""
    import pymongo

    base, _, options = mongo_server.partition("?")
    name = f"ecsnet_test_{uuid.uuid4().hex[:12]}"
    authority = base.split("//", 1)[1].partition("/")[0]
    scheme = base.partition("://")[0]
    yield f"{scheme}://{authority}/{name}" + (f"?{options}" if options else "")
    with pymongo.MongoClient(mongo_server) as client:
        client.drop_database(name)


@pytest.fixture
def own_servers() -> None:
    """Servers can be started, to stall and to kill."""
    if os.environ.get(URI):
        pytest.skip(f"this test kills servers, and {URI} names one that is not its own")
    _need_server()


@pytest.fixture
def mongod(own_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A server of the test's own."""
    server = Mongod(tmp_path_factory.mktemp("mongo"))
    yield server
    server.close()
