"""The order of all tests, hypothesis' search, and an end of esper's worlds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import esper
import pytest
from hypothesis import settings

# The suite says the same about the same code each time, however slow the machine is.
# ``pytest --hypothesis-profile=explore`` looks elsewhere each time.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile("suite")

HERE = Path(__file__).parent
FIRST = [HERE / "packaging", HERE / "analytics", HERE / "socket"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first: `make test` hands out files in this order, to two processes.

    One of them compiles while the other mostly waits, and what is short makes them end together.
    """

    def rank(item: pytest.Item) -> int:
        folder = item.path.parent
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    items.sort(key=rank)


@pytest.fixture
def no_worlds_left() -> Iterator[None]:
    """Delete the worlds that a test leaves to esper."""
    yield
    for world in esper.list_worlds():
        if world != "default":
            esper.delete_world(world)
