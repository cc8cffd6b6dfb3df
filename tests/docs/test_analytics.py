"""The chapter on analytics is true: its game is played, and its reports say what is printed there.

A comment above a block says what it is::

    <!-- run: file PATH -->    a module
    <!-- run: match -->        plays the match that all reports are of
    <!-- run: options -->      makes a server, which is not run
    <!-- run: if MODULE -->    is run where that is installed
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecsnet.analytics.reader import Series, documents
from ecsnet.cli import main as cli
from ecsnet.schema import Registry, use_registry
from ecsnet.server.world import ServerWorld
from tests.docs.test_docs import ROOT, Block, _importable, chapters

FILE = "docs/analytics.md"
BLOCKS = [block for chapter in chapters(FILE) for block in chapter.blocks]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the match of the chapter was played."""
    made = tmp_path_factory.mktemp("field")
    for block in BLOCKS:
        if block.hint[:1] == ["file"]:
            (made / block.hint[1]).write_text(block.code, encoding="utf-8")
    [match] = [block for block in BLOCKS if block.hint == ["match"]]
    with contextlib.chdir(made), _importable(made), use_registry(Registry()):
        exec(_compiled(match), {})
    return made


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ECSNET_MONGO_URI", raising=False)
    with _importable(folder):
        yield


def _compiled(block: Block) -> object:
    return compile("\n" * (block.line - 1) + block.code, str(ROOT / FILE), "exec")


def _typed() -> Iterator[tuple[str, str]]:
    """What is typed in the chapter, and what it prints where that is shown."""
    for number, block in enumerate(BLOCKS):
        if block.language == "sh":
            lines = block.code.splitlines()
            after = BLOCKS[number + 1 : number + 2]
            shown = after[0].code if after and after[0].language == "text" else ""
            yield from ((line, shown if len(lines) == 1 else "") for line in lines)


REPORTS = [
    (line, shown)
    for line, shown in _typed()
    if line.startswith("ecsnet ") and "--mongo" not in line
]


@pytest.mark.parametrize(("typed", "shown"), REPORTS)
def test_reports_say_what_is_printed(typed: str, shown: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert cli.main(shlex.split(typed)[1:]) == 0
    if shown:
        assert _alike(out.getvalue()) == _alike(shown)


def _alike(text: str) -> list[list[str]]:
    """The words, without what is another each time: ids, and the time of day."""
    text = re.sub(r"^seconds .*|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text, flags=re.MULTILINE)
    return [re.sub(r"\b[0-9a-f]{8}\b", "MATCH", line).split() for line in text.splitlines()]


@pytest.mark.parametrize("line", [line for line, _ in _typed()])
def test_what_is_typed_can_be(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "ecsnet":
        cli._parser().parse_args(words[1:])
    else:
        assert words[:2] == ["pip", "install"]


def test_pictures_are_drawn(folder: Path) -> None:
    drawn = [name for line, _ in REPORTS for name in re.findall(r"--out (\S+\.png)", line)]
    assert drawn
    for name in drawn:
        (folder / name).unlink(missing_ok=True)
    for line, _ in REPORTS:
        if ".png" in line:
            assert cli.main(shlex.split(line)[1:]) == 0
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in drawn)


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.hint[:1] == ["if"]], ids=lambda b: b.hint[1]
)
def test_other_tools_read_what_is_exported(block: Block) -> None:
    if importlib.util.find_spec(block.hint[1]) is None:
        pytest.skip(f"{block.hint[1]} is not installed")
    for line, _ in REPORTS:
        if " export " in line:
            assert cli.main(shlex.split(line)[1:]) == 0
    exec(_compiled(block), {})


def test_events_an_hour_are_all_events(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [block] = [block for block in BLOCKS if block.hint == ["if", "sqlite3"]]
    assert cli.main(["analytics", "export", "--to", "sqlite", "--out", "field.db", "all"]) == 0
    exec(_compiled(block), {})
    counted: Counter[str] = Counter()
    for line in capsys.readouterr().out.splitlines():
        _day, _hour, type, count = line.split()
        counted[type] += int(count)
    kept = Counter(str(event["type"]) for event in documents(folder / "analytics", Series.EVENTS))
    assert counted == kept
    assert kept["pay"] == 16


def test_every_block_is_looked_at() -> None:
    for block in BLOCKS:
        assert block.language in ("sh", "text", "json") or block.hint, f"{FILE}:{block.line}"


def test_the_options_of_a_server_in_production_are_some() -> None:
    [block] = [block for block in BLOCKS if block.hint == ["options"]]
    with use_registry(Registry()):
        names: dict[str, object] = {}
        exec(_compiled(block), names)
    assert isinstance(names["server"], ServerWorld)
    assert names["server"].analytics is not None
