"""Puts faults into the core, one at a time, and looks whether the tests notice.

    python tests/mutants/run.py --count 200 --seed 1

Each fault is tried in a copy of the working tree. The tests that run its line are known from one
run with coverage, and run nearest first: those of its module, then the others from the quick to the
slow, then a few seeds of the soak. The first failure ends it, and so does a limit of time or
memory. What no test notices is printed, with file, line and difference: a fault like it can be in
the product unnoticed, or it changes nothing that matters.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faults import Fault, choose

ROOT: Final = Path(__file__).parents[2]
WORKERS: Final = 2
MEMORY: Final = 4 << 30
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


class BrokenError(Exception):
    """The tests are of no use, without any fault."""


@dataclass(frozen=True)
class Project:
    """What is tried, and with which tests; paths are relative to the root."""

    root: Path
    core: tuple[str, ...]
    tests: tuple[str, ...]
    last: tuple[str, ...] = ()
    """Tests for what passes all others, whose lines are not recorded."""
    imports: str = "."
    """The folder that the core is imported from."""
    patience: float = 30.0
    """Seconds that a fault may take besides four times those that its tests take."""


ECSNET: Final = Project(
    root=ROOT,
    core=(
        "ecsnet/schema", "ecsnet/session", "ecsnet/connection", "ecsnet/replication",
        "ecsnet/commands", "ecsnet/messages", "ecsnet/simulation", "ecsnet/transport",
        "ecsnet/server", "ecsnet/client", "ecsnet/world.py", "ecsnet/peer.py", "ecsnet/peers.py",
    ),
    tests=(
        "tests/unit", "tests/socket/test_local_address.py", "tests/socket/test_server_udp.py",
        "tests/socket/test_transport_client.py", "tests/socket/test_transport_ticker.py",
        "tests/socket/test_transport_udp.py",
    ),
    last=("tests/simulation/test_soak.py",),
    imports=".dev",
)  # fmt: skip


@dataclass
class Verdict:
    """What became of a fault: "caught", "hung" (caught, too) or "survived"."""

    fault: Fault
    line: int
    diff: str
    outcome: str
    by: str
    """The test that failed, where one did."""
    seconds: float


@dataclass
class Record:
    """What one run without a fault showed."""

    tests: list[str]
    seconds: list[float]
    lines: dict[str, dict[int, set[int]]]
    """By file and line: the tests, by their place, that run it; -1 for what runs at import."""
    failed: set[str]
    last_seconds: float = 0.0

    def passing(self) -> set[int]:
        """The tests that pass without a fault."""
        return {index for index, test in enumerate(self.tests) if test not in self.failed}

    def nearest(self, fault: Fault) -> list[int]:
        """The tests that can notice a fault, in the order in which to try them."""
        of_file = self.lines.get(fault.path, {})
        first, last = fault.lines
        chosen: set[int] = set()
        for line in range(first, last + 1):
            chosen |= of_file.get(line, set())
        # What runs at import, such as a constant, may be looked at by a test that runs nothing.
        passing = self.passing()
        chosen = chosen & passing if chosen and -1 not in chosen else passing
        words = [word for word in Path(fault.path).with_suffix("").parts if word != "__init__"]

        def distance(test: int) -> tuple[int, float]:
            name = Path(self.tests[test].partition("::")[0]).stem
            mine = name.removeprefix("test_") in ("_".join(words[-2:]), words[-1])
            return 0 if mine else 1 + (words[-1] not in name), self.seconds[test]

        return sorted(chosen, key=distance)


@dataclass
class Copy:
    """A copy of a project's tree, in which one fault at a time is tried."""

    project: Project
    folder: Path
    children: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def fill(self) -> None:
        """Copy what git would have, links as links."""
        root = self.project.root
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"],
            capture_output=True,
            check=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            source, target = root / name, self.folder / name
            if source.exists() or source.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)

    def pytest(
        self, arguments: Sequence[str], seconds: float, **environment: str
    ) -> tuple[int | None, str]:
        """Run tests in a child of their own; its status is None when the time was up.

        The child, and what it starts, ends with this process, however that ends.
        """
        log = self.folder / "mutants.log"
        paths = [self.folder / self.project.imports, Path(__file__).parent]
        theirs, ours = os.pipe()
        try:
            with log.open("wb") as out:
                child = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "pytest", "-p", "mutant_plugin"),
                        *("-p", "no:cacheprovider", "-q", "--tb=no", *arguments),
                    ],
                    cwd=self.folder,
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(map(str, paths)),
                        "PYTHONHASHSEED": "0",
                        "MUTANTS_LIFELINE": str(theirs),
                        "MUTANTS_MEMORY": str(MEMORY),
                        **environment,
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(theirs,),
                )
            self.children.add(child)
            try:
                status: int | None = child.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
            self.stop()
        finally:
            os.close(theirs)
            os.close(ours)
        return status, log.read_text(errors="replace")

    def stop(self) -> None:
        """End the child, and what it has started."""
        for child in list(self.children):
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
            self.children.discard(child)

    def record(self) -> Record:
        """Run all tests once. Those that fail are left out, as are those of something else.

        Raises:
            BrokenError: The tests cannot be run, or nothing in them passes.
        """
        project, root = self.project, self.folder.resolve()
        file = self.folder / "mutants.json"
        sources = [
            str(root / name / "*" if (root / name).is_dir() else root / name)
            for name in project.core
        ]
        status, output = self.pytest(
            project.tests, 3600, MUTANTS_RECORD=str(file), MUTANTS_SOURCES="\n".join(sources)
        )
        if status not in (0, 1):
            raise BrokenError(output)
        found = json.loads(file.read_text())
        record = Record(found["tests"], found["seconds"], {}, set(_FAILED.findall(output)))
        for path, by_line in found["lines"].items():
            record.lines[Path(path).relative_to(root).as_posix()] = {
                int(line): set(tests) for line, tests in by_line.items()
            }
        if not record.passing():
            raise BrokenError(output)
        if project.last:
            began = time.monotonic()
            status, output = self.pytest(project.last, 3600)
            if status != 0:
                raise BrokenError(output)
            record.last_seconds = time.monotonic() - began
        return record

    def judge(self, fault: Fault, record: Record) -> Verdict:
        """Try one fault."""
        began = time.monotonic()
        path = self.folder / fault.path
        source = path.read_bytes()
        try:
            self._write(path, fault.put_into(source))
            outcome, by = self._try(fault, record)
        finally:
            self._write(path, source)
        return Verdict(
            fault, fault.line(source), fault.diff(source), outcome, by, time.monotonic() - began
        )

    def _try(self, fault: Fault, record: Record) -> tuple[str, str]:
        tests = record.nearest(fault)
        chosen = self.folder / "mutants.json"
        chosen.write_text(json.dumps([record.tests[test] for test in tests]))
        files = dict.fromkeys(record.tests[test].partition("::")[0] for test in tests)
        patience = self.project.patience
        seconds = patience + 4 * sum(record.seconds[test] for test in tests)
        status, output = self.pytest(["-x", *files], seconds, MUTANTS_SELECT=str(chosen))
        if status == 0 and self.project.last:
            limit = patience + 4 * record.last_seconds
            status, output = self.pytest(["-x", *self.project.last], limit)
        if status is None:
            return "hung", ""
        failed = _FAILED.search(output)
        return ("survived" if status == 0 else "caught"), failed[1] if failed else ""

    def _write(self, path: Path, source: bytes) -> None:
        """Write a source file; what was compiled from it may look as new as it."""
        path.write_bytes(source)
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            compiled.unlink()


def judge(
    project: Project, faults: Sequence[Fault], workers: int, *, tell: bool = True
) -> list[Verdict]:
    """Try faults, some at a time; what survives is printed at once.

    Raises:
        BrokenError: The tests are of no use, without any fault.
    """
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        copies = [Copy(project, Path(place) / str(number)) for number in range(workers)]
        for copy in copies:
            copy.folder.mkdir()
            copy.fill()
        if tell:
            print("running the tests without any fault ...", flush=True)
        record = copies[0].record()
        if tell and record.failed:
            print(f"left out, because they fail anyway: {', '.join(sorted(record.failed))}")
        idle: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in copies:
            idle.put(copy)

        def one(fault: Fault) -> Verdict:
            copy = idle.get()
            try:
                return copy.judge(fault, record)
            finally:
                idle.put(copy)

        pool = ThreadPoolExecutor(workers)
        try:
            for future in as_completed([pool.submit(one, fault) for fault in faults]):
                verdict = future.result()
                verdicts.append(verdict)
                if tell and verdict.outcome == "survived":
                    print(f"{verdict.fault.path}:{verdict.line}\n{verdict.diff}", flush=True)
                if tell and (len(verdicts) % 20 == 0 or len(verdicts) == len(faults)):
                    print(f"{len(verdicts)}/{len(faults)}: {summary(verdicts)}", flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in copies:
                copy.stop()
            pool.shutdown()
    return verdicts


def summary(verdicts: Sequence[Verdict]) -> str:
    """One line with what became of them."""
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    total = len(verdicts)
    caught = total - outcomes["survived"]
    return (
        f"{caught} of {total} faults caught ({caught / total:.1%}),"
        f" {outcomes['hung']} of them by their time, {outcomes['survived']} survived"
    )


def document(verdicts: Sequence[Verdict], seed: int) -> dict[str, object]:
    """All verdicts, for programs."""
    entries = [
        {
            "file": verdict.fault.path,
            "line": verdict.line,
            "outcome": verdict.outcome,
            "by": verdict.by,
            "seconds": round(verdict.seconds, 2),
            "diff": verdict.diff,
        }
        for verdict in verdicts
    ]
    return {"seed": seed, "summary": summary(verdicts), "faults": entries}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 1 when the tests fail without any fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="how many faults")
    parser.add_argument("--seed", type=int, help="of the choice; a new one when left out")
    parser.add_argument("--workers", type=int, default=min(WORKERS, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")
    parser.add_argument("paths", nargs="*", help="files or folders; the core when left out")
    options = parser.parse_args(arguments)
    if options.count < 1 or not 1 <= options.workers <= WORKERS:
        parser.error(f"--count is 1 or more, --workers from 1 to {WORKERS}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidies up, as Ctrl-C does
    seed = secrets.randbelow(10_000) if options.seed is None else options.seed
    faults = choose(ROOT, options.paths or ECSNET.core, options.count, seed)
    if not options.json:
        print(f"seed {seed}: {len(faults)} faults", flush=True)
    try:
        verdicts = judge(ECSNET, faults, options.workers, tell=not options.json)
    except BrokenError as error:
        print(f"the tests fail without any fault:\n{error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(document(verdicts, seed), indent=1))
    else:
        print(f"seed {seed}: {summary(verdicts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
