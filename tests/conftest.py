"""Fixtures of all tests: hypothesis' search for counterexamples, and an end of esper's worlds."""

from __future__ import annotations

from collections.abc import Iterator

import esper
import pytest
from hypothesis import settings

# The suite says the same about the same code each time, however slow the machine is.
# ``pytest --hypothesis-profile=explore`` looks elsewhere each time.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile("suite")


@pytest.fixture
def no_worlds_left() -> Iterator[None]:
    """Delete the worlds that a test leaves to esper."""
    yield
    for world in esper.list_worlds():
        if world != "default":
            esper.delete_world(world)
