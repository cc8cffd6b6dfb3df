from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.replication.client.viewing import Subject


@pytest.fixture
def subject() -> Iterator[Subject]:
    made = Subject()
    yield made
    made.close()
