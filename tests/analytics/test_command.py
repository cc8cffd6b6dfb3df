"""``ecsnet analytics``, as it is typed."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from ecsnet.cli import main as cli
from tests.analytics.played import A, B, C, Played, some_matches

Run = Callable[..., tuple[int, str, str]]

REPORTS = [
    "matches",
    "summary all",
    "events a1",
    "usage all",
    "suspects all",
    "heatmap all --component position",
    "timeline a1 12",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a journal where one is looked for first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delenv("ECSNET_MONGO_URI", raising=False)
    some_matches().write(tmp_path / "analytics")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            status = cli.main(["analytics", *map(str, arguments)])
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def result(run: Run) -> Callable[..., Any]:
    """What a report says as JSON."""

    def call(*arguments: object) -> Any:
        status, out, err = run(*arguments, "--json")
        assert (status, err) == (0, "")
        return json.loads(out)

    return call


@pytest.fixture
def table(run: Run) -> Callable[..., list[list[str]]]:
    """The lines of a table, by words."""

    def call(*arguments: object) -> list[list[str]]:
        status, out, err = run(*arguments)
        assert (status, err) == (0, "")
        return [line.split() for line in out.splitlines()]

    return call


# Reports.


def test_matches(result: Callable[..., Any], table: Callable[..., list[list[str]]]) -> None:
    assert [(match["id"], match["ticks"]) for match in result("matches")] == [
        (A, 42),
        (B, 40),
        (C, 7),
    ]
    lines = table("matches")
    assert lines[0] == ["match", "server", "room", "started", "ended", "ticks", "seconds"]
    assert lines[1][:3] == ["a1000000", "here", "red"]
    assert lines[1][-2:] == ["42", "4.2"]
    assert lines[3][-5:-2] == ["running", "or", "crashed"]


def test_summary(result: Callable[..., Any], run: Run) -> None:
    [told] = result("summary", "a1")
    assert told["match"] == A
    assert told["commands"] == {"applied": 73, "expired": 1, "superseded": 2}
    assert told["events"]["commands"] == 5
    assert told["emitted"] == 6
    assert len(result("summary", "all")) == 3
    _, out, _ = run("summary", "all")
    assert "73 applied, 1 expired, 2 superseded" in out
    assert "2 joined, 2 at once: Ada, [red]Mallory" in out  # and no markup of it
    assert "\x1b" not in out


def test_many_matches_stand_below_each_other(run: Run, folder: Path) -> None:
    played = Played()
    for number in range(7):
        played.match(f"b{number}", after=number)
    played.write(folder / "many")
    _, out, _ = run("summary", "all", "--dir", "many")
    assert out.count("tick rate") == 3
    assert "b6000000" in out


def test_events(result: Callable[..., Any], table: Callable[..., list[list[str]]]) -> None:
    assert len(result("events", "all")) == 22
    assert [event["tick"] for event in result("events", "all", "--type", "Suspect")] == [23, 25, 7]
    lines = table("events", "a1", "--type", "coin")
    assert lines[1][-8:] == ["24", "coin", "1", "11", "worth", "3,", "colour", "gold"]
    assert result("events", "all", "--type", "nothing") == []


def test_usage(result: Callable[..., Any], table: Callable[..., list[list[str]]]) -> None:
    assert result("usage", "all")[0] == {
        "kind": "command",
        "name": "game.Wave",
        "count": 0,
        "matches": 0,
    }
    assert table("usage", "all")[1] == ["command", "game.Wave", "0", "0"]


def test_suspects(result: Callable[..., Any], run: Run) -> None:
    told = result("suspects", "all")
    assert [found["rule"] for found in told["findings"]] == ["max_speed", "max_speed", "max_rate"]
    assert told["accused"][0]["findings"] == 3
    _, out, _ = run("suspects", "all")
    assert "[red]Mallory\\x1b[2J" in out
    assert "position.x: 40 a second, 12 allowed; 20 to 24" in out
    assert run("suspects", "a2")[1] == "nothing suspect\n"


RULES = """
def rich(documents):
    for document in documents:
        for entity in document.get("entities", ()):
            if entity.get("score", {}).get("coins", 0) > 3:
                yield {"tick": document["tick"], "entity": entity["id"], "player": entity["owner"]}

def order(documents):
    ticks = [document["tick"] for document in documents]
    yield {"sorted": ticks == sorted(ticks), "documents": len(ticks)}

def fails(documents):
    for document in documents:
        yield {"why": document["nothing"]}

def takes_nothing():
    pass

limit = 3
"""


def test_rules_of_ones_own(result: Callable[..., Any], folder: Path) -> None:
    (folder / "rules.py").write_text(RULES)
    told = result("suspects", "all", "--rules", "rules:rich", "--rules", "rules.py:order")
    found = [(each["rule"], each["match"]) for each in told["findings"]]
    assert found.count(("rich", A)) == 1
    assert found.count(("rich", C)) == 1
    data = [each["data"] for each in told["findings"] if each["rule"] == "order"]
    assert data == [
        {"sorted": True, "documents": 23},
        {"sorted": True, "documents": 7},
        {"sorted": True, "documents": 5},
    ]


# Pictures.


def test_a_heat_map_is_drawn(run: Run, result: Callable[..., Any], folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("heatmap", "all", "--component", "position", "--out", "heat.png") == (
        0,
        "heat.png\n",
        "",
    )
    assert (folder / "heat.png").read_bytes().startswith(b"\x89PNG")
    told = result("heatmap", "all", "--component", "Position", "--who", "all", "--out", "2.svg")
    assert told["samples"] == sum(map(sum, told["counts"])) == 16
    assert b"<svg" in (folder / "2.svg").read_bytes()


def test_a_timeline_is_drawn(run: Run, result: Callable[..., Any], folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("timeline", "a1", 12, "x", "--out", "line.pdf") == (0, "line.pdf\n", "")
    assert (folder / "line.pdf").read_bytes().startswith(b"%PDF")
    assert run("timeline", "a1", 12, "--out", "all.png")[0] == 0
    told = result("timeline", "a1", 12, "position.X")
    assert told["lines"] == [
        {
            "component": "ecsnet.Position",
            "field": "x",
            "ticks": [10, 20, 30, 40],
            "values": [10.0, 20.0, 120.0, 160.0],
        }
    ]
    assert told["suspect"] == [23, 25]


# Export.


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_export_as_lines_of_json(run: Run, folder: Path) -> None:
    _, out, _ = run("export", "--to", "jsonl")
    made = [json.loads(line) for line in out.splitlines()]
    expected = [json.loads(msgspec.json.encode(document)) for document in some_matches().events()]
    assert made == expected
    assert run("export", "--to", "jsonl", "--what", "states", "--out", "states.jsonl", "a2") == (
        0,
        "",
        "",
    )
    lines = (folder / "states.jsonl").read_text().splitlines()
    assert [json.loads(line)["match"] for line in lines] == [B] * 4


def test_export_events_as_csv(run: Run) -> None:
    made = rows(run("export", "--to", "csv", "a1")[1])
    assert len(made) == 15
    [coin] = [row for row in made if row["type"] == "coin"]
    assert (coin["match"], coin["tick"], coin["player"]) == (A, "24", "1")
    assert json.loads(coin["data"]) == {"worth": 3, "colour": "gold"}
    assert coin["time"] == "2026-09-21T14:13:22.400Z"


def test_export_states_as_csv(run: Run) -> None:
    made = rows(run("export", "--to", "csv", "--what", "states")[1])
    assert len(made) == 4 * 3 + 4 + 2
    assert list(made[0])[-5:] == [
        "position_x",
        "position_y",
        "score_coins",
        "score_title",
        "ghost_mood",
    ]
    assert made[1]["score_title"] == "'=1+1"
    assert (made[2]["entity"], made[2]["owner"], made[2]["score_coins"]) == ("13", "", "")
    assert made[2]["snapshot"] == "10"
    assert made[2]["tick"] == "11"


def test_export_of_a_match_without_its_schema_has_what_is_there(run: Run, folder: Path) -> None:
    played = Played()
    number = played.match("ab", starts=False)
    played.event(number, "join", 1, 1, 1, name="Ada")
    played.snapshot(number, 1, {1: (1, {"score": (3, [True, None])})})
    played.write(folder / "other")
    [row] = rows(run("export", "--to", "csv", "--what", "states", "--dir", "other")[1])
    assert (row["score_coins"], json.loads(row["score_title"])) == ("3", [True, None])


def test_a_reader_that_has_enough_is_no_error(folder: Path) -> None:
    played = Played()
    number = played.match("ab")
    for tick in range(1, 5000):
        played.event(number, "coin", tick, own=False, worth="much " * 20)
    played.write(folder / "long")
    command = [sys.executable, "-m", "ecsnet", "analytics", "export", "--to", "jsonl"]
    with subprocess.Popen(
        [*command, "--dir", "long"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_what_was_shipped_says_the_same(
    run: Run, result: Callable[..., Any], database: str
) -> None:
    status, _, err = run("ship", "analytics", "--mongo", database, "--driver", "pymongo")
    assert status == 0, err
    for report in REPORTS:
        assert result(*report.split()) == result(*report.split(), "--mongo", database)
    for what in ("events", "states"):
        for match in (A, B, C):
            export = ("export", match, "--to", "csv", "--what", what)
            assert run(*export) == run(*export, "--mongo", database)


@pytest.mark.parametrize("options", [["--json"], []])
def test_names_have_any_characters_wherever_they_are_printed(
    folder: Path, options: list[str]
) -> None:
    played = Played()
    number = played.match("ab")
    played.event(number, "join", 1, 1, 1, name="Zoë")
    played.write(folder / "names")
    done = subprocess.run(
        [sys.executable, "-m", "ecsnet", "analytics", "summary", "all", "--dir", "names", *options],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Zoë" in done.stdout.decode()


# What goes wrong.


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "required: REPORT"),
        ("dance", "invalid choice: 'dance'"),
        ("summary", "required: MATCH"),
        ("summary zz", "there is no match 'zz' among the 3 in analytics"),
        ("summary a", "'a' is the beginning of 2 matches"),
        ("matches --dir nowhere", "there is no folder nowhere"),
        ("matches --dir a --mongo mongodb://b", "not allowed with"),
        ("matches --mongo b", "this is no MongoDB URI"),
        ("heatmap all", "required: --component"),
        ("heatmap all --component position", "give --out FILE.png, or --json"),
        ("heatmap all --component nix --json", "there is no component 'nix': ecsnet.Position"),
        ("heatmap all --component position --who me --json", "'me': players, all or the number"),
        ("heatmap all --component position --cells 0 --json", "'0': from 1 to 1024"),
        ("heatmap all --component position --out nowhere/x.png", "there is no folder nowhere"),
        ("heatmap all --component position --out x.txt", "end it in .png, .svg or .pdf"),
        ("heatmap all --component position --out folder.png", "folder.png cannot be written"),
        ("timeline a1 x --json", "'x' is no entity: give its number"),
        ("timeline a1 99 --json", "has an entity 99"),
        ("timeline all 12 --json", "all are 3 matches: a timeline is of one"),
        ("timeline a1 11 title --out x.png", "no number to draw in game.Score.title"),
        ("timeline a1 11", "give --out FILE.png, or --json"),
        ("suspects all --rules rules", "'rules' names no rule: write MODULE:ATTR, such as rules:"),
        ("suspects all --rules nix:rich", "there is no module 'nix'"),
        ("suspects all --rules rules:poor", "rules:poor is not there: a rule is a function"),
        ("suspects all --rules rules:limit", "rules:limit is of type int: a rule is a function"),
        ("suspects all --rules rules:fails", "fails raised KeyError('nothing'), in line 14 of"),
        ("suspects all --rules rules:takes_nothing", "takes_nothing raised TypeError("),
        ("matches --dir rules.py", "rules.py is a file: a journal is a folder"),
        ("timeline a1 12 --out x", "'x': end it in .png, .svg or .pdf"),
        ("export", "required: --to"),
        ("export --to csv --out folder.png", "folder.png cannot be written"),
        ("ship analytics", "give --mongo URI, or set ECSNET_MONGO_URI"),
        ("ship analytics --expire -1", "'-1': a number of days"),
        ("ship analytics --driver odbc", "invalid choice: 'odbc'"),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_status_2(
    run: Run, folder: Path, typed: str, says: str
) -> None:
    (folder / "rules.py").write_text(RULES)
    (folder / "folder.png").mkdir()
    status, out, err = run(*typed.split())
    assert (status, out) == (2, "")
    assert says in err
    assert err.startswith("ecsnet analytics")
    assert err.count("\n") == 1


def test_no_events_of_a_type_are_told_with_those_there_are(run: Run) -> None:
    assert run("events", "a1", "--type", "JOIN")[1].count("join") > 0
    status, out, _ = run("events", "a1", "--type", "point")
    assert status == 0
    assert out.startswith("no events of type 'point': there are start, join,")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("options", [["--json"], []])
def test_a_full_disk_behind_stdout_is_told(folder: Path, options: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ecsnet", "analytics", "events", "all", *options],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "ecsnet analytics: stdout cannot be written: No space left on device: make room"
    )
    assert done.stderr.count("\n") == 1


def test_no_matches_yet_is_no_error(run: Run, folder: Path) -> None:
    Played().write(folder / "empty")
    assert run("matches", "--dir", "empty") == (0, "no matches in empty yet\n", "")
    assert run("matches", "--dir", "empty", "--json") == (0, "[]\n", "")
    assert "there are no matches in empty yet" in run("usage", "all", "--dir", "empty")[2]


def test_without_a_journal_it_is_asked_for(run: Run, folder: Path) -> None:
    (folder / "analytics").rename(folder / "elsewhere")
    says = "ecsnet analytics: there is no folder analytics here: give --dir DIR or --mongo URI\n"
    assert run("matches") == (2, "", says)
    assert run("matches", "--dir", "elsewhere")[0] == 0


def test_damage_is_told(run: Run, folder: Path) -> None:
    [path] = (folder / "analytics").glob("events-*")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    status, out, err = run("matches", "--json")
    assert status == 0
    assert len(json.loads(out)) == 3
    assert err.startswith("ecsnet analytics: analytics: 1 segment is damaged, ")
    assert err.endswith(" bytes were skipped\n")


@pytest.mark.parametrize(
    ("missing", "typed", "says"),
    [
        ("rich", "matches", "tables need rich: pip install 'ecsnet[analytics]', or ask for --json"),
        ("matplotlib", "timeline a1 12 --out x.png", "pictures need matplotlib: pip install"),
        ("pymongo", "matches --mongo mongodb://localhost", "a MongoDB needs pymongo: pip install"),
    ],
)
def test_what_is_not_installed_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, missing: str, typed: str, says: str
) -> None:
    without(monkeypatch, missing)
    status, out, err = run(*typed.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


@pytest.mark.parametrize("typed", REPORTS)
def test_json_needs_nothing_else(
    result: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    for name in ("rich", "matplotlib", "pymongo"):
        without(monkeypatch, name)
    assert result(*typed.split())


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if it were not installed."""
    for name in list(sys.modules):
        if name.partition(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    for name in ("tables", "pictures"):
        monkeypatch.delitem(sys.modules, f"ecsnet.analytics.{name}", raising=False)
        parent = sys.modules.get("ecsnet.analytics")
        if parent is not None and hasattr(parent, name):
            monkeypatch.delattr(parent, name)
    nothing: Any = None
    monkeypatch.setitem(sys.modules, package, nothing)


def test_the_database_may_be_named_by_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECSNET_MONGO_URI", "nonsense")
    assert "this is no MongoDB URI" in run("matches")[2]
    assert run("matches", "--dir", "analytics")[0] == 0  # what was typed counts more


def test_shipping_is_asked_of_the_shipper(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def ship(
        folder: Path, uri: str, *, follow: bool, driver: str, expire_days: float | None
    ) -> int:
        asked.append((folder, uri, follow, driver, expire_days))
        return 0

    shipping = ModuleType("ecsnet.analytics.ship")
    shipping.ship = ship  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ecsnet.analytics.ship", shipping)
    assert run("ship", "there", "--mongo", "mongodb://here")[0] == 0
    monkeypatch.setenv("ECSNET_MONGO_URI", "mongodb://env")
    assert run("ship", "there", "--follow", "--driver", "pymongo", "--expire", 30)[0] == 0
    assert asked == [
        (Path("there"), "mongodb://here", False, "motor", None),
        (Path("there"), "mongodb://env", True, "pymongo", 30.0),
    ]
