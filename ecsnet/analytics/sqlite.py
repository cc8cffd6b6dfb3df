"""Tables as a SQLite database: a file that answers questions in SQL, without any server."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

from ecsnet.analytics.export import Table
from ecsnet.errors import UsageError
from ecsnet.validation.wording import file_trouble

__all__ = ["write"]

_BESIDE = ("-journal", "-wal", "-shm")
"""The suffixes of the files beside a database that is in use, or was when its program died."""


def write(path: Path, tables: Mapping[str, Table]) -> None:
    """Write a database. One that is there is replaced, once the new one is whole.

    Columns have no types: a cell is stored as what it is, so ``007`` stays the text it was.

    Args:
        path: Where to.
        tables: By their names.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise UsageError(f"{path} is no file: name one for the database, such as matches.db")
        with _unfinished(target) as made:
            with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as database:
                _fill(database, tables)
            for ending in _BESIDE:  # of the old one: the new one would be mended with it
                Path(f"{target}{ending}").unlink(missing_ok=True)
            made.replace(target)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {file_trouble(error)}") from error
    except sqlite3.Error as error:
        raise UsageError(
            f"{path} cannot be written: {error}; is that disk full, or is there more of it than a"
            " database holds? --to csv has no limits"
        ) from error


@contextlib.contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """Make an empty file beside another one, and delete it unless it was moved."""
    made = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        made.write_bytes(b"")  # the operating system says why it cannot be, and SQLite does not
        yield made
    finally:
        made.unlink(missing_ok=True)


def _fill(database: sqlite3.Connection, tables: Mapping[str, Table]) -> None:
    # What dies in between is deleted, so nothing has to be undone.
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("BEGIN")
    for name, table in tables.items():
        columns = ", ".join(map(_quoted, table.columns))
        database.execute(f"CREATE TABLE {_quoted(name)} ({columns})")
        places = ", ".join("?" * len(table.columns))
        database.executemany(f"INSERT INTO {_quoted(name)} VALUES ({places})", table.rows)
    database.execute("COMMIT")


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
