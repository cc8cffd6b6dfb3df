"""The options of a lobby, and what a simulation knows of the system that runs one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ecsnet.errors import UsageError
from ecsnet.validation.arguments import check_number, is_text, is_whole
from ecsnet.validation.wording import brief

__all__ = ["Late", "Lobby", "LobbyControl"]

Late = Literal["watch", "play", "refuse"]
"""The choice for those who come late: they watch, play where there is a place, or are refused."""

_LATE: Final = ("watch", "play", "refuse")
_LONGEST: Final = 3600.0  # seconds of a countdown


@dataclass(frozen=True, slots=True)
class Lobby:
    """A lobby, in which players gather before a match: ``ServerWorld(lobby=net.Lobby(...))``.

    A match begins when enough players are there, all are ready and a countdown is over.

    Attributes:
        players: The least and the most players of a match. Somebody who finds all places taken
            watches, or is refused.
        countdown: Seconds from the moment in which all are ready to the match; may be 0.
        late: What becomes of somebody who comes while a match is played: ``"watch"``, ``"play"``
            where there is a place (and watch where there is none), or ``"refuse"``, also where all
            places are taken before the match.

    Raises:
        UsageError: One of these is not what it has to be.
    """

    players: tuple[int, int] = (2, 4)
    countdown: float = 3.0
    late: Late = "watch"

    def __post_init__(self) -> None:
        given: object = self.players
        if not (
            isinstance(given, tuple)
            and len(given) == 2
            and all(map(is_whole, given))
            and 1 <= given[0] <= given[1]
        ):
            raise UsageError(
                f"Lobby(players={brief(given)}): give the least and the most players of a match,"
                " players=(2, 4)"
            )
        advice = f"give seconds, from 0 to {_LONGEST:,.0f}"
        check_number("Lobby(countdown", self.countdown, 0, _LONGEST, advice)
        late: object = self.late
        if not is_text(late) or late not in _LATE:
            raise UsageError(f"Lobby(late={brief(late)}): it is 'watch', 'play' or 'refuse'")


class LobbyControl(Protocol):
    """The system that runs a lobby, as a simulation and its room know it."""

    def process(self, dt: float, /) -> object:
        """Run for one tick, before the game's systems and in every phase."""

    def join(self, player: int) -> object:
        """Let a player in, before the game's ``on_join``."""

    def refusal(self, taken: int) -> str | None:
        """Return the text that refuses somebody who asks to join; None to let it in.

        Args:
            taken: How many are in the room already, or are about to be.
        """

    def start(self) -> bool:
        """Begin a match now; return whether that could be."""
        ...

    def end(self) -> bool:
        """End the match now; return whether there was one."""
        ...
