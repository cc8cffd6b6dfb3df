"""The result of a demo: one object of figures, and a few lines for a person to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ecsnet.demo.control import PlayerReport, ServerReport
from ecsnet.demo.feel import Feel

__all__ = ["Outcome", "compare", "outcome", "unequal"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of a demo. Times are in milliseconds, shares between 0 and 1."""

    sample: str
    """The game, as it was named."""
    seconds: float
    """That were played."""
    clients: int
    ticks: int
    ticks_dropped: int
    tick_late_ms: dict[str, float]
    """Delay of ticks, milliseconds."""
    entities: int
    commands_sent: int
    commands_applied: int
    commands_expired: int
    """Actions that came too late to be of use."""
    commands_superseded: int
    """Held commands that a newer one replaced before their tick."""
    commands_rejected: int
    """Of the applied ones, those that were not allowed."""
    rewinds: int
    """Number of blocks of `ecsnet.rewind` in which something was rewound."""
    rewinds_limited: int
    """Number of them that looked at another moment than the client said: mostly because the server
    looks back by so much and no more, see `ServerWorld(rewind=...)`."""
    events_sent: int
    """Events that the game emitted, reliable or not."""
    events_due: dict[str, int]
    """The reliable ones that each client was to get, by player."""
    events_seen: dict[str, int]
    """The reliable ones that each client's game was given, by player."""
    datagrams_sent: int
    """By all processes; the server's handshakes are not counted."""
    datagrams_dropped: int
    """By the simulated network."""
    bytes_sent: int
    rtt_ms: float
    """Mean of the clients'."""
    loss: float
    """Mean of what the clients measured."""
    poll_ms: dict[str, float]
    """Duration of a client's `poll`, milliseconds; of each figure the worst client's."""
    polls: int
    settled_ms: float
    """Milliseconds for which the world held still until all clients had everything."""
    feel: Feel
    """Figures from the films of players and server."""
    figures: dict[str, float]
    """The game's own, all players' together."""
    compared: int
    """Components of entities that clients may see, each client's counted by itself."""
    diverged: int
    """Number of them that a client shows differently, does not show, or shows without reason; and
    of the clients that were not given as many events as were due to them."""

    @property
    def good(self) -> bool:
        """True if all worlds were equal, all events seen, and every command is accounted for."""
        dealt_with = self.commands_applied + self.commands_expired + self.commands_superseded
        return self.compared > 0 and self.diverged == 0 and self.commands_sent == dealt_with

    def as_dict(self) -> dict[str, object]:
        """Return the figures by name, for JSON."""
        return asdict(self)

    def summary(self) -> str:
        """Return a few lines for a person to read."""
        different = self.diverged - unequal(self.events_due, self.events_seen)
        equal = self.compared - different
        late, polls, feel = self.tick_late_ms, self.poll_ms, self.feel
        rows = {
            "played": f"{self.seconds:.1f} s, {self.ticks} ticks, {self.clients} clients, "
            f"{self.entities} entities",
            "commands": f"{self.commands_sent} sent = {self.commands_applied} applied"
            f" + {self.commands_superseded} superseded + {self.commands_expired} expired",
            "events": f"{self.events_sent} emitted, {sum(self.events_seen.values())} of "
            f"{sum(self.events_due.values())} that were due seen",
            "datagrams": f"{self.datagrams_sent} sent, {self.bytes_sent / 1000:.0f} kB; the "
            f"simulated network dropped {self.datagrams_dropped}",
            "network": f"rtt {self.rtt_ms:.0f} ms, loss {self.loss * 100:.0f} %",
            "ticks": f"p99 {late['p99']:.2f} ms late, {self.ticks_dropped} dropped",
            "poll": f"p99 {polls['p99']:.2f} ms, {self.polls} polls",
            "own": f"{feel.own_delay_frames['p50']:g} frames from a key to its effect, "
            f"{feel.own_delay_frames['max']:g} at most ({feel.keys} keys); a minute "
            f"{feel.own_corrections:g} corrections, {feel.own_hitches:g} hitches",
            "others": f"{feel.hitches:g} hitches a minute",
            "frames": f"{feel.frames}, of which {feel.late_frames} began late, with "
            f"{feel.late_hitches} more hitches",
            "worlds": f"{equal} of {self.compared} components equal, "
            f"{self.settled_ms:.0f} ms after the last tick",
        }
        if self.rewinds:
            rows["rewinds"] = f"{self.rewinds}, of which {self.rewinds_limited} limited"
        if self.figures:
            rows["game"] = ", ".join(f"{name} {figure:g}" for name, figure in self.figures.items())
        return "\n".join([self.sample, *(f"  {name:<10} {text}" for name, text in rows.items())])


def outcome(
    sample: str,
    seconds: float,
    settled: float,
    server: ServerReport,
    players: Sequence[PlayerReport],
    feel: Feel,
) -> Outcome:
    """Put the last reports together.

    Args:
        sample: The game, as it was named.
        seconds: How long was played.
        settled: How many seconds it took until all was the same.
        server: The server's report.
        players: The players'.
        feel: What came of the films.
    """
    figures: Counter[str] = Counter()
    for player in players:
        figures.update(player.figures)
    compared, diverged = compare(server.worlds, {each.name: each.world for each in players})
    seen = {each.name: each.events_seen for each in players}
    diverged += unequal(server.events_due, seen)
    count = max(1, len(players))
    return Outcome(
        sample=sample,
        seconds=round(seconds, 2),
        clients=len(players),
        ticks=server.ticks,
        ticks_dropped=server.ticks_dropped,
        tick_late_ms=_named(server.late_ms),
        entities=server.entities,
        commands_sent=sum(each.sent for each in players),
        commands_applied=server.applied,
        commands_expired=server.expired + sum(each.expired for each in players),
        commands_superseded=server.superseded,
        commands_rejected=server.rejected,
        rewinds=server.rewinds,
        rewinds_limited=server.rewinds_limited,
        events_sent=server.events_sent,
        events_due=server.events_due,
        events_seen=seen,
        datagrams_sent=server.packets_sent + sum(each.datagrams_sent for each in players),
        datagrams_dropped=sum(each.datagrams_dropped for each in players),
        bytes_sent=server.bytes_sent + sum(each.bytes_sent for each in players),
        rtt_ms=round(sum(each.rtt_ms for each in players) / count, 2),
        loss=round(sum(each.loss for each in players) / count, 4),
        poll_ms=_named(
            tuple(max(part) for part in zip(*(p.poll_ms for p in players), strict=True))
        ),
        polls=sum(each.polls for each in players),
        settled_ms=round(settled * 1000, 1),
        feel=feel,
        figures=dict(figures),
        compared=compared,
        diverged=diverged,
    )


def compare(
    server: Mapping[str, Mapping[str, str]], players: Mapping[str, Mapping[str, str]]
) -> tuple[int, int]:
    """Compare digests by player.

    Returns:
        How many there are at either end, and how many of them are not the same at both.
    """
    compared = diverged = 0
    for name in server.keys() | players.keys():
        said, shown = server.get(name, {}), players.get(name, {})
        keys = said.keys() | shown.keys()
        compared += len(keys)
        diverged += sum(said.get(key) != shown.get(key) for key in keys)
    return compared, diverged


def unequal(due: Mapping[str, int], seen: Mapping[str, int]) -> int:
    """Count the players who were not given as many events as were due to them."""
    return sum(due.get(name, 0) != seen.get(name, 0) for name in due.keys() | seen.keys())


def _named(figures: Sequence[float]) -> dict[str, float]:
    return dict(zip(("p50", "p99", "max"), figures, strict=False))
