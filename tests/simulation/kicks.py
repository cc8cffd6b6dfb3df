"""Players who are thrown out over a bad network: do they read why, and are they gone?

    python tests/simulation/kicks.py --kicks 100000
    python tests/simulation/kicks.py --seed 17

Players come, play and are thrown out with a text of their own, while 20 % of all datagrams get lost
in each direction, and others are late or come twice. The first plays on all cores, prints what
became of the texts, and ends with status 1 where fewer than 99 % arrived, or anybody who was thrown
out was in the world after the next tick. The second plays one round again, exactly as it was.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import esper

import ecsnet as net
from ecsnet.components import Player
from ecsnet.testing import FaultyLink, Harness, Registry, use_registry

KICKS_A_ROUND = 100
PLAYERS = 8
LEAST = 0.99  # of the texts

TEXT = "the text arrived"
SENTENCE = "only the reason arrived"
NOTHING = "nothing arrived, and the client found out by itself"
STILL_THERE = "still in the world after the next tick"
OUTCOMES = (TEXT, SENTENCE, NOTHING, STILL_THERE)


def play(seed: int, *, loss: float = 0.2) -> Counter[str]:
    """Play one round: throw `KICKS_A_ROUND` players out; return what became of them."""
    dice = random.Random(seed)
    with use_registry(Registry()) as registry:

        @net.replicated
        class Square:
            x: float = 0.0

        server = net.ServerWorld(max_clients=4 * PLAYERS, timeout=5.0)
    doomed: dict[str, str] = {}
    thrown: dict[str, int] = {}  # in which tick
    outcomes: Counter[str] = Counter()

    @server.on_join
    def join(player: int) -> None:
        esper.add_component(player, Square())

    @server.system
    def judge(dt: float) -> None:
        for player, who in esper.get_component(Player):
            esper.component_for_entity(player, Square).x += dt
            if who.name in thrown:
                outcomes[STILL_THERE] += net.tick() > thrown[who.name]
            elif who.name in doomed:
                net.kick(player, doomed[who.name])
                thrown[who.name] = net.tick()

    with Harness(server, seed=seed, registry=registry) as game:
        here: dict[net.ClientWorld, str] = {}
        texts: dict[str, str] = {}
        while len(doomed) < KICKS_A_ROUND or here:
            if len(here) < PLAYERS and len(texts) < KICKS_A_ROUND:
                name = f"player {len(texts)}"
                texts[name] = f"{name}, you are out" + "!" * dice.choice((0, 20, 150))
                link = FaultyLink(
                    lag=dice.uniform(0, 0.1),
                    jitter=dice.uniform(0, 0.03),
                    loss=loss,
                    duplicate=0.05,
                    seed=dice.getrandbits(32),
                )
                here[game.connect(name, link, wait=None)] = name
            game.step()
            for client, name in list(here.items()):
                if client.connected and name not in doomed and dice.random() < 0.05:
                    doomed[name] = texts[name]
                if not client.closed:
                    continue
                del here[client]
                if name not in doomed:  # so much got lost that it did not get in: once more
                    here[game.connect(name, FaultyLink(loss=loss, seed=seed), wait=None)] = name
                    continue
                end = game.events(client)[-1]
                assert isinstance(end, net.Disconnected)
                read = end.message == texts[name]
                outcomes[TEXT if read else SENTENCE if end.reason == "kicked" else NOTHING] += 1
    return outcomes


def rounds(seeds: Sequence[int], processes: int) -> Iterator[Counter[str]]:
    """Play rounds on several cores; they come in any order."""
    if processes == 1 or len(seeds) == 1:
        yield from map(play, seeds)
        return
    with multiprocessing.Pool(processes) as pool:
        yield from pool.imap_unordered(play, seeds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kicks", type=int, default=3000, help=f"in rounds of {KICKS_A_ROUND}")
    parser.add_argument("--seed", type=int, help="play this round only")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    if options.kicks < 1 or options.processes < 1:
        parser.error("--kicks and --processes are 1 or more")

    count = -(-options.kicks // KICKS_A_ROUND)
    seeds = range(count) if options.seed is None else [options.seed]
    outcomes: Counter[str] = Counter()
    began = shown = time.perf_counter()
    for done, found in enumerate(rounds(seeds, options.processes), 1):
        outcomes += found
        now = time.perf_counter()
        if now - shown >= 10 or done == len(seeds):
            shown = now
            print(f"{done}/{len(seeds)} rounds, {now - began:.0f} s", flush=True)
    kicks = outcomes[TEXT] + outcomes[SENTENCE] + outcomes[NOTHING]
    print(f"{kicks:,} players thrown out:")
    for outcome in OUTCOMES:
        print(f"{outcomes[outcome]:>9,}  {outcome}")
    good = outcomes[TEXT] >= LEAST * kicks and not outcomes[STILL_THERE]
    print(f"{'ok' if good else 'FAILED'}: {outcomes[TEXT] / kicks:.3%} of the texts arrived")
    return 0 if good else 1


if __name__ == "__main__":
    logging.getLogger("ecsnet").setLevel(logging.CRITICAL)  # everybody's client would say why
    sys.exit(main())
