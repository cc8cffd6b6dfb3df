"""A few hundred kicks, and proof that the command notices. `make kicks` plays many."""

from __future__ import annotations

from collections import Counter

import pytest
from kicks import KICKS_A_ROUND, LEAST, NOTHING, OUTCOMES, SENTENCE, STILL_THERE, TEXT, main, play

from ecsnet.peer import Peer
from ecsnet.server.room import Room
from ecsnet.session.goodbye import Reason


def test_who_is_thrown_out_reads_why_and_is_gone() -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(3):
        outcomes += play(seed)
    assert outcomes[TEXT] + outcomes[SENTENCE] + outcomes[NOTHING] == 3 * KICKS_A_ROUND
    assert outcomes[TEXT] >= LEAST * 3 * KICKS_A_ROUND
    assert outcomes[STILL_THERE] == 0


def test_a_round_is_the_same_again() -> None:
    assert play(7) == play(7)


def test_the_command_prints_what_became_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "4", "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert f"{KICKS_A_ROUND} players thrown out" in said
    assert all(outcome in said for outcome in OUTCOMES)


def test_it_notices_a_goodbye_without_the_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Peer.send_goodbye

    def mute(peer: Peer[object], reason: Reason, text: str, now: float) -> tuple[bytes, bytes]:
        return whole(peer, reason, "", now)

    monkeypatch.setattr(Peer, "send_goodbye", mute)
    assert main(["--seed", "4", "--processes", "1"]) == 1
    assert "FAILED: 0.000% of the texts arrived" in capsys.readouterr().out


def test_it_notices_who_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    let_go = Room._let_go

    def keep(room: Room, seat: object, reason: str) -> None:
        let_go(room, seat, reason)  # type: ignore[arg-type]
        room._leaving.clear()

    monkeypatch.setattr(Room, "_let_go", keep)
    assert main(["--seed", "4", "--processes", "1"]) == 1
    assert " 0  still in the world" not in capsys.readouterr().out
