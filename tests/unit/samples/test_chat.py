"""Chat: everybody reads what is said, in its order; who says too much is told so."""

from __future__ import annotations

import ecsnet as net
from ecsnet.testing import FaultyLink, Harness, Registry, use_registry

with use_registry(Registry()):
    from ecsnet.samples.chat.game import LENGTH, PAUSE, Note, Said, Say, server


def read(game: Harness, client: net.ClientWorld) -> list[object]:
    return [event for event in game.events(client) if isinstance(event, Said | Note)]


def test_everybody_reads_the_same_lines_in_order() -> None:
    with Harness(server, seed=1) as game:
        bad = [FaultyLink(lag=0.05, jitter=0.03, loss=0.3, seed=seed) for seed in (1, 2)]
        ann, bob = game.connect("Ann", bad[0]), game.connect("Bob", bad[1])
        for number in range(10):
            ann.send(Say(f"line {number}"))
            bob.send(Say(f"another {number}"))
            game.run(seconds=2)
        assert game.settle()
        said = [event for event in read(game, ann) if isinstance(event, Said)]
        assert said == [event for event in read(game, bob) if isinstance(event, Said)]
        assert [s.text for s in said if s.name == "Ann"] == [f"line {n}" for n in range(10)]
        assert [s.text for s in said if s.name == "Bob"] == [f"another {n}" for n in range(10)]
        assert all(link.stats.dropped > 0 for link in bad)


def test_who_comes_and_goes_is_told_to_the_others() -> None:
    with Harness(server) as game:
        ann, bob = game.connect("Ann"), game.connect("Bob")
        game.leave(bob)
        game.run(seconds=1)
        assert read(game, ann) == [Note("Bob comes"), Note("Bob goes (left)")]
        assert read(game, bob) == []


def test_one_line_in_half_a_second() -> None:
    with Harness(server) as game:
        ann, bob = game.connect("Ann"), game.connect("Bob")
        ann.send(Say("one"))
        ann.send(Say("two"))
        game.run(seconds=PAUSE / 2)
        ann.send(Say("three"))
        game.run(seconds=PAUSE)
        ann.send(Say("four"))
        game.run(seconds=PAUSE)
        ones = [Said("Ann", "one"), Said("Ann", "four")]
        assert read(game, bob) == ones
        told = [Note(f"Not so fast! Nobody has read: {text}") for text in ("two", "three")]
        assert read(game, ann) == [Note("Bob comes"), ones[0], *told, ones[1]]


def test_lines_are_clean_and_some_are_none() -> None:
    with Harness(server) as game:
        ann = game.connect("Ann")
        for text in ("\u202eHi!\nthere", "\u200b \n", "\U0001f600" * LENGTH):
            ann.send(Say(text))
            game.run(seconds=1)
        assert read(game, ann) == [Said("Ann", "Hi! there"), Said("Ann", "\U0001f600" * LENGTH)]
