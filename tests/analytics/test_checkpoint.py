"""What a shipper remembers, whatever happens to it and to its files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ecsnet.analytics.checkpoint import Checkpoint, DeadLetter, TargetInUseError
from ecsnet.analytics.folder import JournalError, highest_number
from ecsnet.analytics.reader import Offset
from ecsnet.analytics.segment import Series
from tests.analytics.made import event

OFFSETS = {Series.EVENTS: Offset(3, 400), Series.SNAPSHOTS: Offset(4, 17)}
BEGINNING = {Series.EVENTS: Offset(), Series.SNAPSHOTS: Offset()}


def one(seq: int, reason: str = "no") -> DeadLetter:
    return DeadLetter(Series.EVENTS, event(seq, raw=b"\xff", time=event(1)["time"]), reason)


def test_each_target_has_a_position_of_its_own(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, "a/x") as first, Checkpoint(tmp_path, "b/x") as second:
        assert first.places == BEGINNING
        first.save(OFFSETS)
        assert second.places == BEGINNING
        assert second.others() == [OFFSETS]
        assert first.others() == []
    with Checkpoint(tmp_path, "a/x") as again:
        assert again.places == OFFSETS


def test_the_file_is_what_writers_look_at(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, "a/x") as checkpoint:
        checkpoint.save(OFFSETS)
    (path,) = tmp_path.glob("position-*.json")
    assert json.loads(path.read_bytes()) == {
        "target": "a/x",
        "events": [3, 400],
        "snapshots": [4, 17],
    }
    assert highest_number(tmp_path) == 4


def test_one_shipper_a_target(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, "a/x"):
        with pytest.raises(TargetInUseError, match=r"another shipper ships .* to a/x"):
            Checkpoint(tmp_path, "a/x")
        Checkpoint(tmp_path, "b/x").close()
    Checkpoint(tmp_path, "a/x").close()


def test_a_position_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(descriptor: int) -> None:
        done.append("fsync")
        fsync(descriptor)

    def noting_replace(path: Path, target: Path) -> Path:
        done.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    with Checkpoint(tmp_path, "a/x") as checkpoint:
        checkpoint.save(OFFSETS)
        assert done == ["fsync", "replace", "fsync"], "file, name, folder"
        checkpoint.save(OFFSETS)
        assert len(done) == 3, "nothing new"
        checkpoint.set_aside([one(1)])
        assert done[3:] == ["fsync", "fsync"]


@pytest.mark.parametrize(
    "said",
    [
        b"{",
        b'{"events": [1e999, 400], "snapshots": [4, 17]}',
        b'{"events": [3, 400], "snapshots": [4, 1e999]}',
        b'{"events": [100000000000, 400], "snapshots": [4, 17]}',
        b'{"events": [-3, 400], "snapshots": [4, 17]}',
        b'{"target": %b1%b, "events": [3, 400], "snapshots": [4, 17]}' % (b"[" * 9999, b"]" * 9999),
    ],
    ids=["torn", "endless", "far", "high", "low", "deep"],
)
def test_a_damaged_position_is_an_error_that_says_what_to_do(tmp_path: Path, said: bytes) -> None:
    with Checkpoint(tmp_path, "a/x") as checkpoint:
        checkpoint.save(OFFSETS)
    (path,) = tmp_path.glob("position-*.json")
    assert highest_number(tmp_path) == 4
    path.write_bytes(said)
    assert highest_number(tmp_path) == 0  # the server goes on
    with pytest.raises(JournalError, match="delete it"):
        Checkpoint(tmp_path, "a/x")
    path.unlink()
    Checkpoint(tmp_path, "a/x").close()


def test_what_is_set_aside_comes_back_as_it_was(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, "a/x") as checkpoint:
        checkpoint.set_aside([one(1), one(2)])
        checkpoint.set_aside([one(3)])
    with Checkpoint(tmp_path, "a/x") as checkpoint:
        assert checkpoint.aside() == [one(1), one(2), one(3)]
        checkpoint.keep_aside([one(2, "paused")])
        assert checkpoint.aside() == [one(2, "paused")]
        checkpoint.keep_aside([])
        assert checkpoint.aside() == []
        assert not list(tmp_path.glob("aside-*"))


def test_a_torn_end_of_what_is_set_aside_is_cut_off(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, "a/x") as checkpoint:
        checkpoint.set_aside([one(1), one(2)])
        (path,) = tmp_path.glob("aside-*")
        whole = path.read_bytes()
        for cut in (len(whole) - 1, len(whole) // 2 + 3):
            path.write_bytes(whole[:cut])
            assert checkpoint.aside() == [one(1)]
            checkpoint.set_aside([one(3)])
            assert checkpoint.aside() == [one(1), one(3)]
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert checkpoint.aside() == [one(1)]


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be shipped"):
        Checkpoint(tmp_path / "none", "a/x")
