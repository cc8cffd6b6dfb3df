"""A test kit for games: server and clients in one process, a bad network, a clock of their own.

::

    from ecsnet.testing import FaultyLink, Harness

    def test_alice_moves() -> None:
        with Harness(server, seed=1) as game:
            alice = game.connect("alice", FaultyLink(lag=0.05, jitter=0.03, loss=0.2, seed=1))
            alice.send(Steer(1))
            game.run(seconds=2)
            result = game.settle()
            assert result, result
            assert result.compared > 0

Time passes only in `Harness.step`, `Harness.run`, `Harness.until` and `Harness.settle`. A
`FaultyLink` loses, delays, doubles, reorders and corrupts datagrams, always in the same way for the
same seed. ``with use_registry(Registry()):`` around declarations keeps a test's types apart from
other tests'. A harness stands on a `Network`, which a test of one end can use by itself.
`Harness.record` notes what clients draw in each frame, beside what the server had; the functions in
`ecsnet.testing.measures` say how that felt.
`check_transport` tries whether something that carries datagrams can carry ecsnet's.
"""

from __future__ import annotations

from ecsnet.schema import Registry, use_registry
from ecsnet.testing.clock import ManualClock
from ecsnet.testing.compare import Comparison
from ecsnet.testing.conformance import TransportEnds, TransportReport, check_transport
from ecsnet.testing.harness import Harness, HarnessClient, RanCall
from ecsnet.testing.link import FaultStats, FaultyLink
from ecsnet.testing.network import LinkEnd, Network
from ecsnet.testing.recording import Recording

__all__ = [
    "Comparison",
    "FaultStats",
    "FaultyLink",
    "Harness",
    "HarnessClient",
    "LinkEnd",
    "ManualClock",
    "Network",
    "RanCall",
    "Recording",
    "Registry",
    "TransportEnds",
    "TransportReport",
    "check_transport",
    "use_registry",
]
