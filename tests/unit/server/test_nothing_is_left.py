"""What players and time leave behind in a server and in a client: nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Annotated

import esper
import pytest

from ecsnet.components import Owner
from ecsnet.replication.server.interest import Grid, Interest, Visible
from ecsnet.schema import Between, EntityRef, Registry, command, replicated, use_registry
from ecsnet.server.world import ServerWorld
from ecsnet.session.goodbye import Reason
from ecsnet.session.packets import PING_IDS
from ecsnet.simulation.simulation import commands
from ecsnet.testing import Harness
from ecsnet.transport.conditioner import Link
from tests.simulation.leftovers import grown, holdings

with use_registry(Registry()) as registry:

    @replicated
    class Place:
        x: float = 0.0
        y: float = 0.0
        near: EntityRef = None

    @replicated(visible_to="owner")
    class Purse:
        gold: int = 0

    @replicated
    class Long:
        text: str = ""

    @command(hold=True)
    class Steer:
        dx: Annotated[int, Between(-1, 1)] = 0

    @command
    class Shoot:
        at: EntityRef = None


with use_registry(Registry()) as other_registry:

    @replicated
    class Ship:
        hull: int = 3


BOUNDED = {
    # Those who left are remembered for a while.
    "peers.listener._ended": 4096,
    "peers.listener._dismissed": 4096,
    "peers.listener.admission._gone": 4096,
    # Pings are forgotten when their id comes again.
    "host.members[].session._pings": PING_IDS,
    "client._connection.peer.session._pings": PING_IDS,
    # Rings as large as what was ever in flight, two seconds' worth at most.
    **{
        f"{end}.session.{flight}.{ring}": 2048
        for end in ("host.members[]", "client._connection.peer")
        for flight in ("tagged", "_carriers")
        for ring in ("_tags", "_sent_at")
    },
    # Looked at when the next entity enters or goes; what went in a second. Compiled, a property is
    # another way to the same.
    **{
        f"host.members[]{way}.client_state.{name}": most
        for way in ("", ".seat")
        for name, most in (("pieces", 16), ("left_sight", 64), ("left_sight[][]", 128))
    },
    # By kinds of entities.
    "rooms[].replicator.entities._cids": 64,
    "host.rooms[].replicator.entities._cids": 64,
}
"""What may grow, and up to where."""

INTERESTS: dict[str, Callable[[], Interest | None]] = {
    "everyone": lambda: None,
    "grid": lambda: Grid(Place, 50.0),
    "visible": lambda: Visible(lambda player, entity: player != entity),
}


def busy(
    interest: Interest | None = None, *, long: int = 0, update_rate: float = 60.0
) -> ServerWorld:
    """A game in which things come, go, change hands and mention each other in every tick."""
    with use_registry(registry):
        server = ServerWorld(seed=1, tick_rate=60, update_rate=update_rate, interest=interest)
    shots: list[int] = []

    @server.on_start
    def start() -> None:
        for number in range(4):
            esper.create_entity(Place(number * 40.0), Long("x" * long))

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Place())
        esper.add_component(player, Purse())
        esper.create_entity(Place(30.0), Owner(player), Purse(3))

    @server.system
    def move(dt: float) -> None:
        for player, steer in commands(Steer):
            place = esper.component_for_entity(player, Place)
            place.x += steer.dx * 200 * dt
        for player, shoot in commands(Shoot):
            esper.component_for_entity(player, Place).near = shoot.at
            shots.append(esper.create_entity(Place(5.0, near=player), Long("y" * long)))
        while len(shots) > 3:
            esper.delete_entity(shots.pop(0), immediate=True)
        for _, purse in esper.get_component(Purse):
            purse.gold = (purse.gold + 1) % 100

    return server


def play(game: Harness, seconds: float) -> None:
    """Let those who are in the game do all that can be done."""
    for step in range(round(seconds * 60)):
        for client in game.clients:
            if client.connected:
                client.send(Steer((step // 20) % 3 - 1))
                if step % 5 == 0:
                    seen = sorted(client._view.remote)
                    client.send(Shoot(seen[step % len(seen)]), seen[step % len(seen)])
                    client.send(Shoot())
        game.step()


def leave(game: Harness) -> None:
    for client in game.clients:
        game.leave(client)


def vanish(game: Harness) -> None:
    for client in game.clients:
        game.vanish(client)


def kick(game: Harness) -> None:
    for client in game.clients:
        member = game.member(client)
        assert member is not None
        game.host.disconnect(member, Reason.ABUSE, game.clock.now)


def ask_again(game: Harness) -> None:
    """Lose values, so that the server owes everything, and leave at once."""
    for client in game.clients:
        assert client._protocol.store is not None
        client._protocol.store.resync = True
        game.step()
        game.leave(client)


WAYS = [leave, vanish, kick, ask_again]


def left(before: Counter[str], after: Counter[str]) -> dict[str, str]:
    """What there is more of than before and than may be."""
    return grown(before | Counter(BOUNDED), after)


def left_by(game: Harness, visit: Callable[[], None]) -> dict[str, str]:
    """What a server holds after three visits that it did not hold after the first."""
    visit()
    game.run(seconds=13)  # all time-outs
    before = holdings(game.host)
    for _ in range(3):
        visit()
        game.run(seconds=13)
    after = holdings(game.host)
    assert after["rooms[].replicator.entities.by_net"] >= 4, "the walk sees the world"
    return left(before, after)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", INTERESTS)
def test_players_leave_nothing_behind(policy: str, way: Callable[[Harness], None]) -> None:
    with Harness(busy(INTERESTS[policy]())) as game:

        def visit() -> None:
            for name in ("alice", "bob", "carol"):
                game.connect(name, Link(lag=0.03, jitter=0.02, loss=0.05, seed=len(game.seats)))
            play(game, 1.5)
            way(game)

        assert left_by(game, visit) == {}
        assert game.host.stats().joined == 12
        assert game.host.stats().commands_applied > 100
        assert game.host.stats().commands_rejected > 10
        assert not game.host.members


@pytest.mark.parametrize("steps", range(1, 22))
@pytest.mark.parametrize("polite", [True, False])
def test_who_leaves_on_the_way_in_leaves_nothing_behind(steps: int, polite: bool) -> None:
    """Whatever has crossed so far: a question, an answer, a name, a Welcome, half of a world.

    With ten updates a second, a player is in the game for some ticks before its Welcome.
    """
    with Harness(busy(long=900, update_rate=10)) as game:

        def visit() -> None:
            client = game.connect("alice", Link(lag=0.02, seed=1), wait=None)
            game.step(steps)
            (game.leave if polite else game.vanish)(client)

        assert left_by(game, visit) == {}
        game.connect("alice")  # and the next one is served
        assert game.settle()


def test_who_is_refused_leaves_nothing_behind() -> None:
    server = busy()
    with Harness(server) as game:

        def visit() -> None:
            game._registry = other_registry
            client = game.connect("alice", wait=None)
            game.until(lambda: client.closed, 15)
            assert not client.connected

        assert left_by(game, visit) == {}
        assert game.host.stats().joined == 0


# Time leaves nothing, either.


def rest(game: Harness) -> Counter[str]:
    """What the server and its only client hold once all is quiet."""
    client = game.clients[0]
    link = game.seats[client].link
    loss, link.loss = link.loss, 0.0
    client.release(Steer)
    assert game.settle()
    game.simulation.paused = True
    game.run(seconds=4)
    game.simulation.paused = False
    link.loss = loss
    found = Counter({f"host.{path}": count for path, count in holdings(game.host).items()})
    outside = (client.view, client._schema, game.seats[client].end)
    for path, count in holdings(client, outside=outside).items():
        found[f"client.{path}"] = count
    return found


@pytest.mark.parametrize("long", [0, 900, 3000])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_long_game_holds_no_more_than_a_short_one(loss: float, long: int) -> None:
    with Harness(busy(long=long)) as game:
        link = Link(lag=0.05, jitter=0.03, loss=loss, seed=1)
        game.connect("alice", link)
        play(game, 6)
        before = rest(game)
        assert before["host.rooms[].seats"] == 1
        assert before["client._protocol.store.entities"] >= 6
        lost = link.stats.dropped
        play(game, 20)
        assert left(before, rest(game)) == {}
        assert (link.stats.dropped > lost) is (loss > 0)
