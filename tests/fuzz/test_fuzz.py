"""The fuzzer in small, and proof that it bites.

It runs in processes of its own: its game and its worlds are nobody else's business.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

import ecsnet

HERE = Path(__file__).parent
COUNT = 20_000


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(HERE), str(Path(ecsnet.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_bad_datagrams_raise_nothing_and_change_nothing() -> None:
    result = python(str(HERE / "run.py"), "--count", str(COUNT), "--seed", "2", "--workers", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no exception escaped, no component changed" in result.stdout
    lines = re.findall(r"^ *([\d,]+)  \w", result.stdout, re.MULTILINE)
    counted = [int(line.replace(",", "")) for line in lines]
    assert len(counted) == 24 + 41
    assert min(counted) > 0
    assert sum(counted[:24]) >= COUNT


def test_the_same_seed_sends_the_same_datagrams() -> None:
    script = (
        "import run; r = run.work(5, 1500); print(sorted(r.sent.items()), r.outcomes, r.failure)"
    )
    one, other = python("-c", script), python("-c", script)
    assert one.returncode == 0, one.stderr
    assert one.stdout == other.stdout
    assert one.stdout.endswith("None\n")


def test_no_server_makes_a_client_keep_or_do_more_than_its_limits() -> None:
    result = python(str(HERE / "bad_server.py"), "--count", "80", "--seed", "2", "--any-time")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ok: no exception escaped" in result.stdout


SERVER_FAULTS = {
    "messages are expanded however much they bring": (
        """
        import ecsnet.replication.client.store as store
        store.Store._affordable = lambda self, message, size: True
        """,
        "entities, more than 32,768",
    ),
    "messages with events are as long as any": (
        "import ecsnet.client.protocol; ecsnet.client.protocol.EVENTS_MESSAGE_BYTES = 1 << 20",
        "events, more than 70,997",
    ),
    "datagrams wait without end": (
        "import ecsnet.client.connection; ecsnet.client.connection.DATAGRAMS_WAITING = 1 << 60",
        "datagrams that wait, more than",
    ),
}


@pytest.mark.parametrize("fault", SERVER_FAULTS)
def test_the_bad_servers_notice_when(fault: str) -> None:
    patch, says = SERVER_FAULTS[fault]
    script = (
        f"{dedent(patch)}\nimport sys, bad_server\n"
        "bad_server.DATAGRAMS_WAITING = 2000\n"
        "sys.argv = ['bad_server', '--count', '100', '--seed', '2', '--any-time']\n"
        "sys.exit(bad_server.main())"
    )
    result = python("-c", script)
    assert result.returncode == 1, result.stdout + result.stderr
    assert says in result.stdout


def test_damaged_journals_are_read_as_far_as_they_are_sound() -> None:
    result = python(str(HERE / "journal.py"), "--count", "150", "--seed", "3")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "ok: clear errors and clean parts" in result.stdout
    for kind in ("bits flipped", "cut off", "forged"):
        assert f"{kind}: a part of it" in result.stdout


class Fault(NamedTuple):
    """What is taken out, and a pattern of what the fuzzer then says."""

    patch: str
    says: str


FAULTS = {
    "the gate lets a wrong value's exception out": Fault(
        """
        from ecsnet.schema import gate
        from ecsnet.session import session
        gate.DECODE_ERRORS = session.DECODE_ERRORS = (UnicodeDecodeError, RecursionError)
        """,
        "msgspec.",
    ),
    "the gate lets deep nesting's exception out": Fault(
        """
        import msgspec
        from ecsnet.schema import gate
        from ecsnet.session import session
        gate.DECODE_ERRORS = session.DECODE_ERRORS = (msgspec.MsgspecError, ValueError)
        """,
        "RecursionError",
    ),
    "nobody looks at checksums": Fault(
        """
        from ecsnet.connection import plain as connection
        def open(self, data, now):
            return data[1:-4] if len(data) > 5 and not self.closed else None
        connection.Connection.open = open
        """,
        "WrongError",
    ),
    "old packets are taken again, and old values too": Fault(
        """
        from ecsnet.replication.client.store import Store
        from ecsnet.session.packets import RAW
        from ecsnet.session.session import Session
        receive = Session.receive_packet
        def again(self, packet, now):
            self._note_missing(self._top, (1 << 1024) - 1)
            return receive(self, packet, now)
        def overwrite(self, net, cid, tick, value):
            record = self.entities.get(net)
            if record is not None and cid in record.ticks:
                record.ticks[cid], record.values[cid] = tick, value
                self._touch(net, cid)
        Session.receive_packet, Store._value = again, overwrite
        """,
        "WrongError: the witness changed",
    ),
    "runs with too few values are taken": Fault(
        """
        from ecsnet.replication.wire import Column, WireFormat
        def columns(self, run):
            return [Column(self._cid_of_column[type(c)], c.values) for c in run.columns]
        WireFormat.columns = columns
        """,
        "ValueError",
    ),
    "an event comes twice": Fault(
        """
        from ecsnet.replication.client.store import Store
        happened = Store._happened
        def twice(self, events, size, *, reliable):
            happened(self, [*events, *events], size, reliable=reliable)
        Store._happened = twice
        """,
        "came after number",
    ),
    "references in events are handed on as they came": Fault(
        """
        from ecsnet.replication.client.view import ViewWorld
        take = ViewWorld.take_events
        def raw(self, store):
            self.conversion._reference = lambda net: net
            return take(self, store)
        ViewWorld.take_events = raw
        """,
        "came after number",
    ),
    "commands reach what is somebody else's": Fault(
        """
        from ecsnet.simulation.simulation import Simulation
        Simulation._owned = lambda self, net, player: self._resolve_alive(net)
        """,
        "which is nobody's|ran for entity|in an honest name",
    ),
    "who asks to join may name entities": Fault(
        """
        from ecsnet.commands import join_data
        join_data._nobody = lambda net: net
        """,
        "reached a hook",
    ),
    "who asks to join may call": Fault(
        """
        from ecsnet.commands import join_data
        class Any(tuple):
            def __getitem__(self, number):
                return join_data.replace(super().__getitem__(number), call=None)
        from dataclasses import replace
        join_data.replace = replace
        make = join_data.JoinDataGate.__init__
        join_data.JoinDataGate.__init__ = lambda self, kinds: make(self, Any(kinds))
        """,
        "reached a hook",
    ),
    "calls run while nobody plays": Fault(
        """
        from ecsnet.simulation.simulation import Simulation
        calls = Simulation._run_calls
        def anyway(self):
            before, self.playing = self.playing, True
            calls(self)
            self.playing = before
        Simulation._run_calls = anyway
        """,
        "a call ran while nobody plays",
    ),
    "calls run on clients for what is not there": Fault(
        """
        from ecsnet.client.calls import Calls
        def trusting(self, kind, arguments):
            entity, view = arguments.self, self._view
            component = view.components(entity).get(kind.call.component)
            self.on_call(kind.call, entity, arguments)
            kind.call.run(component, arguments)
        Calls._run = trusting
        """,
        "Error",
    ),
    "a call runs twice on a client": Fault(
        """
        from ecsnet.client.calls import Calls
        once = Calls.run
        Calls.run = lambda self, calls: once(self, [each for each in calls for _ in (0, 1)])
        """,
        "came after number",
    ),
    "what players tell each other is read without a look": Fault(
        """
        import msgspec
        from ecsnet.components import LobbyPlayer
        LobbyPlayer.values = lambda self: msgspec.msgpack.decode(self.info) if self.info else {}
        """,
        "Error",
    ),
    "players get ready while they play": Fault(
        """
        from ecsnet.components import LobbyState
        from ecsnet.systems import LobbySystem
        take = LobbySystem._take_commands
        LobbySystem._take_commands = lambda self, state: take(self, LobbyState())
        """,
        "became ready in a match",
    ),
    "who is thrown out stays": Fault(
        "from ecsnet.server.host import Host; Host._see_off = lambda self, now: None",
        "somebody stays who was thrown out",
    ),
    "texts for those who are thrown out are lost": Fault(
        """
        from ecsnet.peers import Peers
        end = Peers.disconnect
        Peers.disconnect = lambda self, peer, reason, text, now: end(self, peer, reason, "", now)
        """,
        "is what somebody read who was thrown out",
    ),
    "nobody listens who falls silent": Fault(
        """
        from ecsnet.server.presences import PresenceWatch
        PresenceWatch._is_silent = lambda self, connection, now: False
        """,
        "nobody notices who falls silent",
    ),
    "each bad packet is remembered for ever": Fault(
        """
        import run
        from ecsnet.schema import Gate
        run._SAMPLE, decode, hoard = 0, Gate.decode, []
        def hoarding(self, data):
            result = decode(self, data)
            if result is None:
                hoard.append([bytes(data) + bytes([copy]) for copy in range(9)])
            return result
        Gate.decode = hoarding
        """,
        "blocks of memory became",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fuzzer_notices_when(fault: str) -> None:
    patch, says = FAULTS[fault]
    # Each seed's traffic finds most of them; which ones changes with the code.
    script = (
        f"{dedent(patch)}\nimport run\n"
        f"failures = (run.work(seed, {COUNT // 2}).failure for seed in range(1, 6))\n"
        "print(next(filter(None, failures), None))"
    )
    result = python("-c", script)
    assert result.returncode == 0, result.stderr
    assert re.search(says, result.stdout), result.stdout
