"""Putting faults into code: which ones, and what becomes of them."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

pytest.importorskip("resource", reason="limits memory as POSIX does")

from faults import choose, faults_in
from run import ECSNET, BrokenError, Project, document, judge, summary

HERE = Path(__file__).parent

SUMS = '''
"""Sums."""

from __future__ import annotations

import logging

__all__ = ["clamp", "count_down", "unheard_of"]

logger = logging.getLogger("sums")
LEAST: int = 0
MOST: int = 9


def clamp(value: int, most: int) -> int:
    """Between the least and the most."""
    if not isinstance(value, int):
        logger.warning("%d is bad", 1)
        raise ValueError("expected an int" + str(2))
    assert most > 0
    return max(LEAST, min(value, most))


def count_down(number: int) -> int:
    """Always 0."""
    while number > 0:
        number -= 1
    return number


def unheard_of(left: bool, right: bool) -> bool:
    """No test calls it."""
    return left and right
'''

TESTS = """
import sums
from sums import clamp, count_down


def test_most() -> None:
    assert sums.MOST == 9


def test_clamp() -> None:
    assert [clamp(value, 5) for value in (-1, 0, 1, 5, 6)] == [0, 0, 1, 5, 5]


def test_count_down() -> None:
    assert count_down(3) == 0
"""


def texts(source: str) -> set[str]:
    """What files with one fault say in place of ``source``, a single line."""
    data = source.encode()
    return {fault.put_into(data).decode() for fault in faults_in(data, "a.py")} - {source}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("x.y = a < b", ["x.y = a <= b", "pass"]),
        ("x = a == b and c", ["x = a != b and c", "x = a == b or c", "x = True and c"]),
        ("x = (a + b) * -c", ["x = (a - b) * -c", "x = (a + b) / -c", "x = (a + b) * (c)"]),
        ("if a: b()", ["if not (a): b()", "if a: pass"]),
        ("x = 3 if a else True", ["x = ((True) if (a) else (3))", "x = 3 if a else False"]),
        ("def f(a=1): return min(a, 99)", ["def f(a=2): return min(a, 99)"]),
        ("x = [a for a in b if a]", ["x = [a for a in b if (not (a))]"]),
        ("x.y += 2.0", ["x.y -= 2.0", "x.y += 4.0", "x.y += 1.0", "pass"]),
        ("def f():\n for a in b:\n  if a: return", ["def f():\n for a in b:\n  if a: pass"]),
        ("while a:\n if a: continue\n b = c", ["while a:\n if a: pass\n b = c"]),
        (
            "for a in b:\n try: continue\n except C: d = e\n else: f = g",
            ["for a in b:\n try: pass\n except C: d = e\n else: f = g"],
        ),
        ("x = a and 0", ["x = a and True"]),
        ("while a:\n    break", ["while a:\n    pass", "while not (a):\n    break"]),
        ("x = f'{1 + 2}' + 'ä' + a * b", ["x = f'{1 + 2}' - 'ä' + a * b"]),
    ],
)
def test_faults_are_such_as_people_make(source: str, wanted: list[str]) -> None:
    assert set(wanted) <= texts(source)


@pytest.mark.parametrize(
    "source",
    [
        "x: Annotated[int, Between(1, 2)]",
        "assert a < b",
        "__all__ = [1]",
        "logger.debug(1)",
        "for a, b in zip(c, d, strict=True): ...",
        "self._log.debug(1)",
        "log.debug(1)",
        "if a < b: log.debug(1)",
        "class A:\n    def __repr__(self): return a + b",
        "def f(): raise NotImplementedError",
        "def f():\n    with a: return",
        "def f():\n    try: return\n    except A: return",
        "for a in b:\n    try: continue\n    finally: c = d",
        "class A(Protocol):\n    def f(self, a=1): ...",
        "if TYPE_CHECKING:\n    x = 1",
        "x = cast(int, 1)",
    ],
)
def test_what_says_nothing_about_behaviour_is_left_alone(source: str) -> None:
    assert not texts(source)


def test_false_in_place_of_0_is_no_fault() -> None:
    assert texts("x = a or 0") == {"x = False or 0", "x = a and 0", "x = a or 1"}


def test_the_choice_depends_on_the_seed_alone() -> None:
    first, again, other = (choose(ECSNET.root, ECSNET.core, 60, seed) for seed in (1, 1, 2))
    assert first == again
    assert len(first) == len(other) == 60
    assert set(first) != set(other)
    assert len({fault.path for fault in first}) > 10
    for fault in first:
        source = (ECSNET.root / fault.path).read_bytes()
        assert ast.parse(fault.put_into(source))
        assert fault.lines[0] <= fault.line(source) <= fault.lines[1]
        assert "\n-" in fault.diff(source)
        assert "\n+" in fault.diff(source)


def project(folder: Path, tests: str, patience: float) -> Project:
    (folder / "sums.py").write_text(SUMS)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_sums.py").write_text(tests)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return Project(folder, ("sums.py",), ("tests",), patience=patience)


@pytest.mark.slow
def test_what_tests_notice_is_caught_and_the_rest_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = project(tmp_path, TESTS, patience=8.0)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.py")}
    faults = [
        fault
        for fault in choose(tmp_path, made.core, 100, 0)
        if fault.text.strip() in (">=", "max", "or", "pass", "+=", "10")
    ]
    verdicts = judge(made, faults, 2)
    outcomes = {
        (verdict.line, verdict.fault.text.strip()): (
            verdict.outcome,
            verdict.by,
        )
        for verdict in verdicts
    }
    assert outcomes[12, "10"] == ("caught", "tests/test_sums.py::test_most")  # runs no line of it
    # The largest of value and most, and then none of them less than the least.
    assert outcomes[21, "max"] == ("caught", "tests/test_sums.py::test_clamp")
    assert outcomes[26, ">="] == ("caught", "tests/test_sums.py::test_count_down")
    assert outcomes[27, "+="] == ("hung", "")
    assert outcomes[33, "or"] == ("survived", "")
    assert outcomes[19, "pass"] == ("survived", "")  # raises nothing
    assert len(outcomes) == len(verdicts)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.py")} == before
    out = capsys.readouterr().out
    assert "sums.py:33\n" in out
    assert "+    return left or right" in out
    assert "sums.py:21\n" not in out
    assert f"of {len(verdicts)} faults caught" in out
    said = document(verdicts, 0)
    assert said["summary"] == summary(verdicts)
    assert "survived" in str(said["faults"])


@pytest.mark.slow
def test_a_test_that_traces_hides_no_later_one_from_the_record(tmp_path: Path) -> None:
    tests = dedent("""
        import sys
        from sums import clamp

        def test_trace() -> None:
            assert clamp(1, 5)
            sys.settrace(lambda *_: None)
            sys.settrace(None)

        def test_clamp() -> None:
            assert clamp(1, 5) == 1
    """)
    made = project(tmp_path, tests, patience=8.0)
    faults = [fault for fault in choose(tmp_path, made.core, 100, 0) if fault.text == "max"]
    assert [verdict.by for verdict in judge(made, faults, 1)] == ["tests/test_sums.py::test_clamp"]


@pytest.mark.slow
def test_tests_that_fail_anyway_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails = "\n\ndef test_alas() -> None:\n    assert clamp(1, 1) == 2\n"
    made = project(tmp_path, TESTS + fails, patience=8.0)
    faults = [fault for fault in choose(tmp_path, made.core, 100, 0) if "or" in fault.text]
    assert [verdict.outcome for verdict in judge(made, faults, 1)] == ["survived"]
    assert "fail anyway: tests/test_sums.py::test_alas" in capsys.readouterr().out


@pytest.mark.slow
def test_where_no_test_passes_nothing_is_tried(tmp_path: Path) -> None:
    made = project(tmp_path, "def test() -> None:\n    assert not 'sound'\n", patience=8.0)
    faults = choose(tmp_path, made.core, 1, 0)
    assert len(faults) == 1
    with pytest.raises(BrokenError, match=r"FAILED tests/test_sums\.py::test"):
        judge(made, faults, 1)


@pytest.mark.slow
def test_no_child_is_left_when_the_command_dies(tmp_path: Path) -> None:
    """The hanging test holds a pipe open for as long as it lives."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    hangs = dedent(f"""
        import subprocess, sys

        def test() -> None:
            with open({str(pipe)!r}, "wb") as out:
                out.write(b"here")
                out.flush()
                subprocess.run([sys.executable, "-c", "while True: pass"], stdout=out)
    """)
    project(tmp_path, hangs, patience=8.0)
    command = dedent(f"""
        import sys
        from pathlib import Path
        sys.path.insert(0, {str(HERE)!r})
        from run import Project, judge
        judge(Project(Path({str(tmp_path)!r}), ("sums.py",), ("tests",)), [], 1)
    """)
    tool = subprocess.Popen(
        [sys.executable, "-c", command],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # nobody is left to tidy up
    )
    with tool, pipe.open("rb") as read:
        assert read.read(4) == b"here"
        tool.send_signal(signal.SIGKILL)
        assert read.read() == b""  # the end: nobody holds it any more
    assert tool.returncode == -signal.SIGKILL
