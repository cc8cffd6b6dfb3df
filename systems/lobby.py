"""A system that gathers players in a lobby, and begins and ends matches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import esper

from ecsnet.components import LobbyInfo, LobbyPlayer, LobbyReady, LobbyState, Player, Presence
from ecsnet.simulation.lobby import Lobby
from ecsnet.simulation.simulation import Simulation

_TOGGLES = 2  # a second, of one player's readiness


@dataclass(slots=True)
class _Toggles:
    """The ticks in which a player became ready, or no longer, last; the server's own."""

    ticks: deque[int] = field(default_factory=lambda: deque(maxlen=_TOGGLES))


class LobbySystem(esper.Processor):
    """A system that takes a game from waiting over a countdown to a match, and back.

    A simulation of a game with a `Lobby` has one, above all other systems and in every phase. All
    that it knows stands in `LobbyState` and `LobbyPlayer`, for everybody to see; players say
    `LobbyReady` and `LobbyInfo`.

    Args:
        lobby: How many play, and the like.
        simulation: The simulation.
    """

    def __init__(self, lobby: Lobby, simulation: Simulation) -> None:
        self._lobby = lobby
        self._simulation = simulation
        self._match = 0
        # What was there when the match began, and the identity of the world then.
        self._before: frozenset[int] = frozenset()
        self._identity: object = None

    def process(self, dt: float) -> None:
        """Take what players say, and go on to the next phase when it is time."""
        state = self._state()
        self._take_commands(state)
        for _, (each, presence) in esper.get_components(LobbyPlayer, Presence):
            if each.ready and presence.status != "ok":
                each.ready = False
        if state.phase != "playing":
            self._gather(state, dt)
        elif not any(each.plays for _, each in self._players()):
            self.end()

    def join(self, player: int) -> None:
        """Give a newcomer a place, or let it watch."""
        late = self._simulation.playing
        plays = late and self._lobby.late == "play" and self._free_places() > 0
        for component in (Presence(), LobbyPlayer(plays=plays), _Toggles()):
            esper.add_component(player, component)
        if not late:
            self._fill_places()

    def refusal(self, taken: int) -> str | None:
        """Return the text for somebody who comes too late, where those are refused."""
        if self._lobby.late != "refuse":
            return None
        if self._simulation.playing:
            return "the match has begun"
        return "all places are taken" if taken >= self._lobby.players[1] else None

    def start(self) -> bool:
        """Begin a match with all who have a place, ready or not."""
        state, simulation = self._state(), self._simulation
        if simulation.playing:
            return False
        self._fill_places()
        players = [player for player, each in self._players() if each.plays]
        if not players:
            return False
        self._match += 1
        state.phase, state.until, state.match = "playing", 0, self._match
        self._before = frozenset(simulation.world.tables())
        self._identity = simulation.world.identity()
        simulation.begin_match(self._match, players)
        return True

    def end(self) -> bool:
        """End the match: delete what it has made, and let everybody get ready again."""
        state, simulation = self._state(), self._simulation
        if not simulation.playing:
            return False
        self._delete_what_was_made()
        self._before = frozenset()
        state.phase = "waiting"
        for _, each in esper.get_component(LobbyPlayer):
            each.ready = False
        self._fill_places()
        simulation.end_match(self._match)
        return True

    def _state(self) -> LobbyState:
        """Return the state; made anew where it is not there, as in the first tick."""
        for _, state in esper.get_component(LobbyState):
            return state
        state = LobbyState(match=self._match)
        if self._simulation.playing:
            state.phase = "playing"
        esper.create_entity(state)
        return state

    def _players(self) -> Iterator[tuple[int, LobbyPlayer]]:
        """Yield those who are in the game, in the order in which they came."""
        world = self._simulation.world
        for player in self._simulation.player_entity.values():
            each = world.components(player).get(LobbyPlayer)
            if isinstance(each, LobbyPlayer) and world.alive(player):
                yield player, each

    def _free_places(self) -> int:
        return self._lobby.players[1] - sum(each.plays for _, each in self._players())

    def _fill_places(self) -> None:
        """Give the places that are free to those who watch, first come, first served."""
        free = self._free_places()
        for _, each in self._players():
            if free > 0 and not each.plays:
                each.plays = True
                free -= 1

    def _take_commands(self, state: LobbyState) -> None:
        simulation = self._simulation
        for player, command in simulation.commands(LobbyInfo, LobbyPlayer):
            esper.component_for_entity(player, LobbyPlayer).info = command.info
        for player, wish in simulation.commands(LobbyReady, LobbyPlayer, _Toggles):
            each = esper.component_for_entity(player, LobbyPlayer)
            if wish.ready == each.ready:
                continue
            toggles = esper.component_for_entity(player, _Toggles).ticks
            second_ago = simulation.tick - 1 / simulation.dt
            too_often = len(toggles) == _TOGGLES and toggles[0] > second_ago
            if state.phase == "playing" or too_often:
                number = simulation.player_of(player)
                if number is not None:
                    simulation.rejected[number] += 1
                continue
            toggles.append(simulation.tick)
            each.ready = wish.ready

    def _gather(self, state: LobbyState, dt: float) -> None:
        """Wait until all are ready, then until the countdown is over."""
        tick = self._simulation.tick
        if state.phase == "waiting":
            self._fill_places()
        ready = [each.ready for _, each in self._players() if each.plays]
        if len(ready) < self._lobby.players[0] or not all(ready):
            state.phase, state.until = "waiting", 0
            return
        if state.phase == "waiting":
            state.phase, state.until = "countdown", tick + round(self._lobby.countdown / dt)
        if tick >= state.until:
            self.start()

    def _delete_what_was_made(self) -> None:
        world = self._simulation.world
        before = self._before if world.identity() is self._identity else frozenset()
        for entity, components in list(world.tables().items()):
            stays = entity in before or Player in components or LobbyState in components
            if not stays:
                world.delete(entity)
