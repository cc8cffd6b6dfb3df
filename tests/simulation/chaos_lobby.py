"""Kicks and a lobby in a soak: matches that begin and end, and those who come late.

`Matches` is the game's side: it begins and ends matches, and looks whether what belongs to a match
goes with it and all else stays.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import esper

import ecsnet as net
from ecsnet.components import LobbyPlayer, LobbyState, Player
from ecsnet.simulation.simulation import running_now

if TYPE_CHECKING:
    from chaos_game import Game

__all__ = ["GATHERED", "Matches"]

GATHERED = (
    "kicks", "texts read", "came back", "others came instead", "events before a kick",
    "matches begun", "matches ended", "ended without players", "made in a match",
    "was there before", "came late to watch", "came late to play", "came late and were refused",
    "ready said", "infos said", "lobbies compared", "infos compared",
)  # fmt: skip
"""Everything that must happen in a soak, of kicks and lobbies."""


class Matches:
    """The matches of a game with a lobby; without one it does nothing.

    Args:
        game: The game.
        counts: How often each thing happened.
    """

    def __init__(self, game: Game, counts: Counter[str]) -> None:
        self.game = game
        self.counts = counts
        self.playing = False
        self.before: set[int] = set()
        """The entities that were there when the match began."""

    def begin(self, players: list[int]) -> None:
        """Look at who plays; a hook."""
        self.counts["matches begun"] += 1
        self.playing = True
        self.before = self._there()
        placed = [player for player, each in esper.get_component(LobbyPlayer) if each.plays]
        ids = [player for player in self.game.ids.values() if player in placed]
        if players != ids or not 1 <= len(players) <= 3:
            raise AssertionError(f"{players} play, and {ids} have a place")

    def join(self, player: int) -> None:
        """Look at what becomes of somebody who comes while a match is played."""
        simulation = running_now()
        assert simulation is not None
        late = self.game.plan.late
        if late is None or not simulation.playing:
            return
        plays = esper.component_for_entity(player, LobbyPlayer).plays
        if late == "refuse" or (late == "watch" and plays):
            raise AssertionError(f"player {player} came late, with late={late!r}, plays={plays}")
        self.counts["came late to play" if plays else "came late to watch"] += 1

    def call(self) -> None:
        """Look at when players call."""
        simulation = running_now()
        assert simulation is not None
        if self.game.plan.late is not None and not self.playing:
            raise AssertionError("a player called in the lobby")

    def clear(self) -> None:
        """Note that the database was cleared: what was there before is gone."""
        self.before = set()

    def process(self, dice: Random) -> None:
        """Begin a match that nobody is ready for, or end one; while the game holds still there is
        none.
        """
        if self.game.plan.late is None:
            return
        ((_, state),) = esper.get_component(LobbyState)
        if self.playing and state.phase != "playing":
            self.counts["ended without players"] += 1
            self._ended()
        if self.game.paused:
            if self.playing:
                self._end()
        elif self.playing and dice.random() < 0.01:
            self._end()
        elif not self.playing and dice.random() < 0.01:
            net.start_match()

    def _end(self) -> None:
        """End the match: what it has made goes, and nothing else does."""
        there = self._there()
        stay = {e for e in there if e in self.before or esper.has_component(e, Player)}
        net.end_match()
        if self._there() != stay:
            raise AssertionError(f"{self._there() ^ stay} should not outlive a match, or should")
        self.counts["made in a match"] += len(there - stay)
        self.counts["was there before"] += len(stay)
        self._ended()

    def _ended(self) -> None:
        self.playing = False
        self.counts["matches ended"] += 1
        for entity in [e for e in self.game.uid_of if not esper.entity_exists(e)]:
            self.game.forget(entity)

    def _there(self) -> set[int]:
        return {entity for entity in self.game.uid_of if esper.entity_exists(entity)}
