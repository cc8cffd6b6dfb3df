"""What a URI says, and what it must not."""

from __future__ import annotations

import pytest

from ecsnet.analytics.target import conceal, parse_target, target_name
from ecsnet.errors import UsageError


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("mongodb://localhost", "localhost:27017/ecsnet"),
        ("mongodb://u:p@Localhost:27017/?w=1", "localhost:27017/ecsnet"),
        ("mongodb://b:1,a,c:3/games?replicaSet=x", "a:27017,b:1,c:3/games"),
        ("mongodb://[::1]:9/x", "[::1]:9/x"),
        ("mongodb://[::1]/x", "[::1]:27017/x"),
        ("mongodb+srv://u:p@cluster.example.net/x", "srv:cluster.example.net/x"),
        ("mongodb://%2Ftmp%2FM.sock/x", "/tmp/M.sock/x"),
    ],
)
def test_hosts_and_database_name_a_target(uri: str, name: str) -> None:
    assert target_name(uri) == name


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "localhost",
        "http://localhost",
        "mongodb://",
        "mongodb://u:hunter2/x@h/db",
        "mongodb://u:hunter2?x@h/db",
        "mongodb://u:hunter2#x@h/db",
        "mongodb://u:hunt@er2@h/db",
        "mongodb://h:port/db",
    ],
)
def test_a_password_is_never_taken_for_anything_else(uri: str) -> None:
    with pytest.raises(UsageError, match="percent-encoded") as caught:
        target_name(uri)
    assert "hunter2" not in str(caught.value)


def test_writes_without_answers_are_refused_before_there_is_a_driver() -> None:
    for option in ("w=0", "W=0", "w=%30"):
        with pytest.raises(UsageError, match="w=0"):
            parse_target(f"mongodb://h/?{option}")


def test_options_are_found_in_any_case() -> None:
    target = parse_target("mongodb://h/?W=1&readPreference=secondary&authSource=a%2Fb")
    assert target.options == {"w": "1", "readpreference": "secondary", "authsource": "a/b"}


def test_messages_are_one_short_line_without_passwords() -> None:
    assert conceal("bad mongodb://u:p@h/x\nand\x1b[31m") == "bad mongodb://***@h/x and [31m"
    assert len(conceal("x" * 1000)) == 200
