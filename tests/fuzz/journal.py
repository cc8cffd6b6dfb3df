"""Reads damaged journals: `python tests/fuzz/journal.py --count N`, so many of each kind.

Bits are flipped, files are cut, and frames with right checksums hold nonsense. Exits with status 1
when an exception escaped other than one that says what is wrong, when something was read that was
never written, when a cut journal gave more than a clean beginning, or when memory grew.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mutations import decode, mutated, respin, safely_encoded

from ecsnet.analytics.folder import JournalError, lock, recover, segments
from ecsnet.analytics.journal import Journal, Limits
from ecsnet.analytics.reader import Cursor, Damage, documents
from ecsnet.analytics.records import Declared, Event, Slice
from ecsnet.analytics.records import encode as encode_record
from ecsnet.analytics.segment import FRAME_LIMIT, HEADER, Series, frame, frames, seed_of
from ecsnet.schema import PLAIN

MEMORY_LIMIT = 64 << 20
"""Bytes above the baseline."""


def write(folder: Path) -> None:
    """A small journal: some segments of each series, sealed ones and open ones."""
    components = (Declared("position", "ecsnet.Position", ("x", "y"), (PLAIN, PLAIN)),)
    journal = Journal(folder, "srv", components, limits=Limits(segment=2000))
    for _ in range(2):
        match = journal.begin(os.urandom(16), 1_700_000_000_000, "", 60.0)
        for n in range(1, 21):
            data: dict[str, object] = {"n": n, "name": "x" * n, "info": {"a": [1, [2.5, None]]}}
            event = Event(match, n, n, 1_700_000_000_000 + n, "t", 1, n, n % 2 == 0, data)
            columns: list[tuple[int, list[object]]] = [(0, [[float(n), 1.0], None])]
            slice_ = Slice(match, n, n, n, 1_700_000_000_000, [1, 2], [1, None], columns)
            journal.put(Series.EVENTS, match, encode_record(event))
            journal.put(Series.SNAPSHOTS, match, encode_record(slice_))
            if n % 5 == 0:
                journal.round()
    journal.close()
    last = segments(folder)[-1].path
    last.rename(last.with_suffix(".open"))


def read(folder: Path) -> list[list[str]]:
    """Everything that can be read, in every way, as text: events, then snapshots."""
    found: list[list[str]] = []
    for series in Series:
        there = [repr(document) for document in documents(folder, series, damage=Damage())]
        cursor = Cursor(folder, series)
        followed: list[str] = []
        while entries := cursor.read(50, 1 << 20):
            followed += [repr(entry.document) for entry in entries]
        assert set(followed) <= set(there), "the cursor found what the reader did not"
        again = [repr(document) for document in documents(folder, series)]
        assert there == again, "the same records made other documents"
        found.append(there)
    return found


def flip(dice: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def cut(dice: random.Random, path: Path) -> None:
    os.truncate(path, dice.randrange(path.stat().st_size))


def forge(dice: random.Random, path: Path) -> None:
    """Put nonsense where a record was, in a frame that is whole."""
    data = path.read_bytes()
    seed = seed_of(data) or 0
    parts = [found.payload for found in frames(data[HEADER:], seed)]
    hit = dice.randrange(len(parts))
    if dice.random() < 0.5:
        forged = safely_encoded(respin(dice, decode(parts[hit]), dice.choice((1, 2, 4))))
    else:
        forged = mutated(dice, parts[hit], parts)
    parts[hit] = forged[:FRAME_LIMIT]
    path.write_bytes(data[:HEADER] + b"".join(frame(part, seed) for part in parts))


KINDS: dict[str, Callable[[random.Random, Path], None]] = {
    "bits flipped": flip,
    "cut off": cut,
    "forged": forge,
}


def attack(
    kind: str, dice: random.Random, original: Path, before: list[list[str]], folder: Path
) -> str:
    """Damage one segment and read; returns what came of it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    hit = dice.choice(segments(folder))
    KINDS[kind](dice, hit.path)
    try:
        if dice.random() < 0.5:
            with lock(folder):
                recover(folder)
        after = read(folder)
    except JournalError:
        return "a clear error"
    if kind != "forged":
        for old, new in zip(before, after, strict=True):
            there = set(new)
            assert there <= set(old), "read what was never written"
            assert [each for each in old if each in there] == new, "read in another order"
            gone = [n for n, each in enumerate(old) if each not in there]
            if kind == "cut off" and gone:  # the end of one segment
                assert gone[-1] - gone[0] + 1 == len(gone), "a hole in what is left"
    return "all of it" if after == before else "a part of it"


def resident() -> int:
    """Bytes of memory at most until now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="journals of each kind")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(10**6)
    dice = random.Random(seed)
    print(f"seed {seed}", flush=True)
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as base:
        original = Path(base) / "original"
        write(original)
        before = read(original)
        baseline = resident()
        for kind in KINDS:
            for number in range(arguments.count):
                try:
                    came = attack(kind, dice, original, before, Path(base) / "damaged")
                except BaseException:
                    traceback.print_exc()
                    print(f"failed: {kind}, number {number}, seed {seed}")
                    return 1
                outcomes[f"{kind}: {came}"] += 1
            print(f"{kind}: {arguments.count:,} journals", flush=True)
    grown = resident() - baseline
    for outcome, times in sorted(outcomes.items()):
        print(f"{times:9,}  {outcome}")
    print(f"memory: {grown / 2**20:.1f} MiB above the baseline at most")
    if grown > MEMORY_LIMIT:
        print("failed: memory grew")
        return 1
    print("ok: clear errors and clean parts, no other exception")
    return 0


if __name__ == "__main__":
    sys.exit(main())
