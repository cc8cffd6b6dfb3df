"""The reader in docs/journal.md reads what the code writes, and what it says is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import esper
import pytest

from ecsnet.analytics import records, segment
from ecsnet.analytics.journal import Limits
from ecsnet.analytics.reader import Series, documents
from ecsnet.analytics_options import Analytics
from ecsnet.components import Position
from ecsnet.server.world import ServerWorld
from ecsnet.testing import Harness

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "journal.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    server = ServerWorld(20, analytics=Analytics(tmp_path, interval=5))

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Position())

    with Harness(server) as game:
        game.connect("Ann")
        game.run(seconds=2)
    return tmp_path


def test_the_reader_of_the_document_reads_a_journal(folder: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {"__name__": "reader"}
    exec(program, names)
    read = list(names["events"](folder))
    expected = [
        (each["match"], int(str(each["_id"])[33:]), each["tick"], each["type"], each["player"])
        for each in documents(folder, Series.EVENTS)
    ]
    assert [event[:5] for event in read] == expected
    assert {event[3] for event in read} >= {"start", "join", "leave", "stop"}
    slices = [
        record
        for path in sorted(folder.glob("snapshots-*"))
        for record in names["records"](path)
        if record[0] == 3
    ]
    assert len(slices) == len(list(documents(folder, Series.SNAPSHOTS))) > 0


def test_the_numbers_of_the_document_are_those_of_the_code() -> None:
    assert f"format {records.FORMAT}." in TEXT
    assert f"`{segment.MAGIC.decode()}`" in TEXT
    assert f"`{segment.SYNC.hex(' ').upper()}`" in TEXT
    assert f"at most {segment.FRAME_LIMIT:,}" in TEXT
    assert f"sealed at {Limits().segment >> 20} MiB" in TEXT


@pytest.mark.parametrize(
    "record", [records.Head, records.Match, records.Event, records.Slice, records.Mark]
)
def test_records_are_as_the_document_says(record: Any) -> None:
    tag = record.__struct_config__.tag
    name = record.__name__.lower()
    fields = ", ".join(record.__struct_fields__).replace("_", " ")
    row = re.search(rf"^\| {tag} \| {name} \| ?(.*?) ?\|$", TEXT, re.MULTILINE)
    assert row is not None
    assert row[1].replace(" (16 bytes)", "") == fields
