"""``ecsnet analytics``: what happened in matches, from a journal or a MongoDB.

Here is only what was typed, and where results go. What draws, prints and reads is imported when it
is needed: the command starts fast, and what is not installed is missed only where it is used.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar, cast

from ecsnet.analytics_options import (
    FOLDER,
    MONGO_VARIABLE,
    MOST_DAYS,
    folder_fault,
    is_days,
)
from ecsnet.errors import UsageError
from ecsnet.validation.wording import file_trouble

if TYPE_CHECKING:
    from ecsnet.analytics.export import Table
    from ecsnet.analytics.reports import Finding, Rule
    from ecsnet.analytics.sources import Match, Source
    from ecsnet.analytics.values import Document

__all__ = ["add_parser", "folder_of"]

_NEEDED = {
    "matplotlib": "pictures need matplotlib: pip install 'ecsnet[analytics]', or ask for --json",
    "rich": "tables need rich: pip install 'ecsnet[analytics]', or ask for --json",
    "pymongo": "a MongoDB needs pymongo: pip install 'ecsnet[analytics]'",
    "_sqlite3": "this Python was built without SQLite: use another one, or --to csv",
    "motor": "shipping needs motor: pip install 'ecsnet[analytics]', or --driver pymongo",
}

Report = Callable[[argparse.Namespace, "Source"], None]

_Parser = TypeVar("_Parser", bound=argparse.ArgumentParser)


def add_parser(verbs: argparse._SubParsersAction[_Parser]) -> None:
    """Add ``analytics`` and all below it.

    Args:
        verbs: The commands of ``ecsnet``.
    """
    analytics = verbs.add_parser(
        "analytics",
        help="see what happened in matches",
        description="See what happened in matches: from a server's journal, or from MongoDB.",
    )
    reports = analytics.add_subparsers(dest="name", metavar="REPORT", required=True)

    def add(name: str, what: str, report: Report) -> _Parser:
        parser = reports.add_parser(name, help=what, description=f"{what.capitalize()}.")
        parser.set_defaults(command=_run, report=report)
        _add_place(parser)
        if report is not _export:
            parser.add_argument("--json", action="store_true", help="print JSON, no table")
        return parser

    add("matches", "list all matches", _matches)
    _add_matches(add("summary", "tell matches in figures", _summary))

    events = add("events", "list what happened", _events)
    _add_matches(events)
    events.add_argument("--type", metavar="T", help="only events of this type")

    heatmap = add("heatmap", "draw where players were", _heatmap)
    _add_matches(heatmap)
    option = heatmap.add_argument
    option("--component", required=True, metavar="NAME", help="what holds the place: position")
    option("--x", metavar="FIELD", help="field across (x, or the first with numbers)")
    option("--y", metavar="FIELD", help="field downwards (y, or the second with numbers)")
    option(
        "--who",
        type=_who,
        default="players",
        metavar="players|all|ENTITY",
        help="whose: what players own, everything, or the entity of that number (%(default)s)",
    )
    option("--cells", type=_cells, default=64, metavar="N", help="along the longer side (64)")
    _add_out(heatmap)

    timeline = add("timeline", "draw an entity's values over time", _timeline)
    timeline.add_argument("match", metavar="MATCH", help=MATCH)
    timeline.add_argument("entity", metavar="ENTITY", type=_entity, help="its number")
    timeline.add_argument(
        "field", metavar="FIELD", nargs="?", help="such as x, position or position.x (all)"
    )
    _add_out(timeline)

    _add_matches(add("usage", "count components, commands and events, the rarest first", _usage))

    suspects = add("suspects", "list what passed a limit of the schema", _suspects)
    _add_matches(suspects)
    suspects.add_argument(
        "--rules",
        action="append",
        default=[],
        metavar="MODULE:ATTR",
        help="a rule of your own: takes a match's documents, yields findings; FILE.py:ATTR works "
        "too, and more than one",
    )

    export = add("export", "write documents for other tools", _export)
    export.add_argument(
        "matches", nargs="*", default=["all"], metavar="MATCH", help=f"{MATCH} (all)"
    )
    export.add_argument(
        "--to", required=True, choices=["jsonl", "csv", "sqlite"], help="in which format"
    )
    export.add_argument(
        "--what", choices=["events", "states"], help="which (events; sqlite: both, and the matches)"
    )
    export.add_argument("--out", type=_file, metavar="FILE", help="where to (stdout)")

    ship = reports.add_parser(
        "ship",
        help="bring a journal into MongoDB",
        description="Bring a journal into MongoDB: also what a server that crashed has left. "
        "A database that is away is waited for, without --follow for about a minute.",
    )
    ship.set_defaults(command=_ship)
    option = ship.add_argument
    option("dir", metavar="DIR", type=folder_of, help="the journal's folder")
    option("--mongo", metavar="URI", help=f"where to ({MONGO_VARIABLE})")
    option("--follow", action="store_true", help="go on as the server writes")
    option("--driver", choices=["motor", "pymongo"], default="motor", help="(%(default)s)")
    option("--expire", type=_days, metavar="DAYS", help="let the database delete what is older")


MATCH = "id of a match, the beginning of one, latest or all"


def _add_place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--dir", type=folder_of, metavar="DIR", help=f"a journal ({FOLDER})")
    place.add_argument("--mongo", metavar="URI", help=f"a MongoDB ({MONGO_VARIABLE})")


def _add_matches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("matches", nargs="+", metavar="MATCH", help=MATCH)


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=_picture, metavar="FILE", help="picture: .png, .svg or .pdf")


# Where documents come from.


def _run(given: argparse.Namespace) -> int:
    report: Report = given.report
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON is, and players' names have any characters
    try:
        with _installed():
            source = _open(given.dir, given.mongo)
            with contextlib.closing(source):
                report(given, source)
        sys.stdout.flush()
    except BrokenPipeError:  # head has seen enough: the end of every command
        raise
    except OSError as error:  # what reads and what writes files says so itself
        _silence_stdout()
        raise UsageError(f"stdout cannot be written: {file_trouble(error)}") from error
    damage = source.damage()
    if damage:
        sys.stderr.write(f"ecsnet analytics: {source.name}: {damage}\n")
    return 0


def _silence_stdout() -> None:
    """Let the interpreter's own flush at the end not complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open(folder: Path | None, uri: str | None) -> Source:
    from ecsnet.analytics.sources import JournalSource, MongoSource

    if folder is None:
        uri = uri or os.environ.get(MONGO_VARIABLE)
    if uri:
        return MongoSource(uri)
    if folder is None and not Path(FOLDER).is_dir():
        raise UsageError(f"there is no folder {FOLDER} here: give --dir DIR or --mongo URI")
    return JournalSource(folder or Path(FOLDER))


def _chosen(source: Source, wanted: Sequence[str]) -> tuple[list[Match], list[str]]:
    """Return the matches that were asked for, and their ids."""
    from ecsnet.analytics.sources import choose

    matches = choose(source.matches(), wanted, source.name)
    return matches, [match.id for match in matches]


@contextlib.contextmanager
def _installed() -> Iterator[None]:
    """Say how to get what is not installed.

    Raises:
        UsageError: Something is not.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        needed = _NEEDED.get((error.name or "").partition(".")[0])
        if needed is None:
            raise
        raise UsageError(needed) from error


# Reports.


def _matches(given: argparse.Namespace, source: Source) -> None:
    matches = source.matches()
    if given.json:
        _print_all(matches)
    elif matches:
        from ecsnet.analytics import tables

        tables.show(tables.match_table(matches))
    else:
        sys.stdout.write(f"no matches in {source.name} yet\n")


def _summary(given: argparse.Namespace, source: Source) -> None:
    from ecsnet.analytics.reports import summaries

    matches, ids = _chosen(source, given.matches)
    made = summaries(matches, source.events(*ids), source.states(*ids))
    if given.json:
        _print_all(made)
    else:
        from ecsnet.analytics import tables

        tables.show(*tables.summary_tables(made))


def _events(given: argparse.Namespace, source: Source) -> None:
    _, ids = _chosen(source, given.matches)
    wanted: str | None = given.type
    types: dict[str, None] = {}  # those there are

    def documents() -> Iterator[Document]:
        for document in source.events(*ids):
            type = str(document["type"])
            types[type] = None
            if wanted is None or type.casefold() == wanted.casefold():
                yield document

    if given.json:
        _print_all(documents())
    else:
        from ecsnet.analytics import tables
        from ecsnet.analytics.reading import as_event

        table = tables.event_table(map(as_event, documents()))
        if table.row_count or wanted is None:
            tables.show(table)
        else:
            sys.stdout.write(f"no events of type {wanted!r}: there are {', '.join(types)}\n")


def _heatmap(given: argparse.Namespace, source: Source) -> None:
    from ecsnet.analytics.maps import heat

    _expect_output(given)
    matches, ids = _chosen(source, given.matches)
    made = heat(
        matches,
        source.states(*ids),
        given.component,
        x=given.x,
        y=given.y,
        who=given.who,
        cells=given.cells,
    )
    if given.out is not None:
        from ecsnet.analytics import pictures

        pictures.draw_heat(made, given.out)
    _print_picture(given, made)


def _timeline(given: argparse.Namespace, source: Source) -> None:
    from ecsnet.analytics.maps import timeline

    _expect_output(given)
    matches, ids = _chosen(source, [given.match])
    if len(matches) > 1:
        raise UsageError(f"{given.match} are {len(matches)} matches: a timeline is of one")
    made = timeline(matches[0], source.events(*ids), source.states(*ids), given.entity, given.field)
    if given.out is not None:
        from ecsnet.analytics import pictures

        pictures.draw_timeline(made, given.out)
    _print_picture(given, made)


def _usage(given: argparse.Namespace, source: Source) -> None:
    from ecsnet.analytics.reports import usage

    matches, ids = _chosen(source, given.matches)
    made = usage(matches, source.events(*ids), source.states(*ids))
    if given.json:
        _print_all(made)
    else:
        from ecsnet.analytics import tables

        tables.show(tables.use_table(made))


def _suspects(given: argparse.Namespace, source: Source) -> None:
    from ecsnet.analytics.reports import suspects

    rules = [(text, _rule(text)) for text in given.rules]
    matches, ids = _chosen(source, given.matches)
    made = suspects(matches, source.events(*ids), _own_findings(source, ids, rules))
    if given.json:
        _print(made)
    else:
        from ecsnet.analytics import tables

        tables.show(*tables.suspect_tables(made))


def _rule(text: str) -> Rule:
    """Import the rule that ``MODULE:ATTR`` or ``FILE.py:ATTR`` names."""
    from ecsnet.runtime.modules import attribute_of, load

    name, separator, attribute = text.rpartition(":")
    if not name or not attribute:
        game = name or ("" if separator else text) or "game"
        if Path(game).name == game:  # of the current folder: a module, too
            game = game.removesuffix(".py")
        raise UsageError(f"{text!r} names no rule: write MODULE:ATTR, such as {game}:rule")
    found = attribute_of(load(name), attribute)
    if not callable(found):
        what = "is not there" if found is None else f"is of type {type(found).__name__}"
        raise UsageError(
            f"{text} {what}: a rule is a function that takes a match's documents and yields "
            "findings"
        )
    return cast("Rule", found)


def _own_findings(
    source: Source, matches: Iterable[str], rules: Sequence[tuple[str, Rule]]
) -> Iterator[Finding]:
    from ecsnet.analytics.reports import findings_of

    for match in matches:
        for text, rule in rules:
            documents = merge(source.events(match), source.states(match), key=_tick)
            yield from findings_of(rule, text.rpartition(":")[2], match, documents)


def _tick(document: Document) -> int:
    return int(str(document["tick"]))


def _export(given: argparse.Namespace, source: Source) -> None:
    from ecsnet.analytics import export

    if given.to == "sqlite":
        _export_database(given, source)
        return
    matches, ids = _chosen(source, given.matches)
    states = given.what == "states"
    documents = source.states(*ids) if states else source.events(*ids)
    with _writing(given.out) as out:
        if given.to == "jsonl":
            export.jsonl(documents, out)
        elif states:
            export.to_csv(_states(source, matches), out)
        else:
            export.to_csv(export.event_table(documents), out)


def _export_database(given: argparse.Namespace, source: Source) -> None:
    from ecsnet.analytics import export, sqlite

    if given.out is None:
        raise UsageError("a SQLite database is a file: give --out FILE.db")
    matches, ids = _chosen(source, given.matches)
    tables = {"matches": export.match_table(matches)}
    if given.what != "states":
        tables["events"] = export.event_table(source.events(*ids))
    if given.what != "events":
        tables["states"] = _states(source, matches)
    sqlite.write(given.out, tables)


def _states(source: Source, matches: Sequence[Match]) -> Table:
    from ecsnet.analytics import export

    untold = [match.id for match in matches if not match.components]
    columns = export.columns_of(matches, source.states(*untold))
    return export.state_table(columns, source.states(*(match.id for match in matches)))


def _ship(given: argparse.Namespace) -> int:
    uri = given.mongo or os.environ.get(MONGO_VARIABLE)
    if not uri:
        raise UsageError(f"ship needs to know where to: give --mongo URI, or set {MONGO_VARIABLE}")
    with _installed():
        from ecsnet.analytics.ship import ship

        logging.basicConfig(level=logging.INFO, format="%(message)s")  # how far it is
        return ship(
            given.dir,
            uri,
            follow=given.follow,
            driver=given.driver,
            expire_days=given.expire,
        )


# Where results go.


def _expect_output(given: argparse.Namespace) -> None:
    """Before all is read: whether there is anything to make of it, and what makes it is there."""
    if given.out is None and not given.json:
        raise UsageError(f"{given.name} makes a picture: give --out FILE.png, or --json")
    if given.out is not None:
        from ecsnet.analytics import pictures  # noqa: F401


def _print_picture(given: argparse.Namespace, made: object) -> None:
    if given.json:
        _print(made)
    else:
        sys.stdout.write(f"{given.out}\n")


def _print(made: object) -> None:
    import msgspec

    sys.stdout.write(f"{msgspec.json.encode(made).decode()}\n")


def _print_all(items: Iterable[object]) -> None:
    """Write one JSON array, an item a line, as they come."""
    import msgspec

    separator = "["
    for item in items:
        sys.stdout.write(f"{separator}{msgspec.json.encode(item).decode()}")
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[" else "]\n")


@contextlib.contextmanager
def _writing(path: Path | None) -> Iterator[TextIO]:
    """Yield the file to write; stdout where none is given.

    Raises:
        UsageError: It cannot be written.
    """
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            yield out
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {file_trouble(error)}") from error


# What was typed.


def folder_of(text: str) -> Path:
    """Return a folder that was typed, there or not.

    Raises:
        argparse.ArgumentTypeError: It can be none.
    """
    fault = folder_fault(text)
    if fault is not None:
        raise argparse.ArgumentTypeError(": ".join(fault))
    return Path(text)


def _file(text: str) -> Path:
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def _picture(text: str) -> Path:
    if not text.lower().endswith((".png", ".svg", ".pdf")):
        raise argparse.ArgumentTypeError(f"{text!r}: end it in .png, .svg or .pdf")
    return _file(text)


def _who(text: str) -> str | int:
    if text.isdecimal():
        return int(text)
    if text.casefold() not in ("players", "all"):
        raise argparse.ArgumentTypeError(f"{text!r}: players, all or the number of an entity")
    return text.casefold()


def _entity(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no entity: give its number")
    return int(text)


def _cells(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r}: from 1 to 1024")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not is_days(days):
        raise argparse.ArgumentTypeError(
            f"{text!r}: a number of days, such as 30, below {MOST_DAYS:,}"
        )
    return days
