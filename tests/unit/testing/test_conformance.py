"""`check_transport`: good transports pass it, and each fault is found by the check made for it."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable

import pytest

from ecsnet.errors import UsageError
from ecsnet.testing import TransportEnds, check_transport
from ecsnet.transport.address import Address
from ecsnet.transport.contract import Handler
from ecsnet.transport.memory import MemoryClient, MemoryServer


class Client:
    """A client's end that keeps the contract, to be made worse."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.memory: MemoryClient = server.memory.connect()
        self.address = self.memory.address

    @property
    def dropped(self) -> int:
        return self.memory.dropped

    def send(self, data: bytes) -> None:
        self.memory.send(data)

    def receive(self, budget: int = 1000) -> Iterable[bytes]:
        return self.memory.receive(budget)

    def pin(self) -> None: ...

    def close(self) -> None:
        self.memory.close()


class Server:
    """A server's end that keeps the contract, to be made worse."""

    client: type[Client] = Client

    def __init__(self) -> None:
        self.memory = MemoryServer()
        self.address = self.memory.address

    @property
    def dropped(self) -> int:
        return self.memory.dropped

    def send(self, data: bytes, address: Address) -> None:
        self.memory.send(data, address)

    def receive(self, budget: int = 1000) -> Iterable[tuple[bytes, Address]]:
        return self.memory.receive(budget)

    def close(self) -> None:
        self.memory.close()

    def wait(self) -> None:
        """Let a moment pass."""


def ends_of(server: type[Server], client: type[Client] | None = None) -> TransportEnds:
    made = server()
    return TransportEnds(made, lambda: (client or server.client)(made), wait=made.wait)


# What keeps the contract.


class Lossy(Client):
    """Loses, doubles and reorders, in both directions."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.dice = random.Random(server.memory.connect().address[1])
        self.late: list[bytes] = []
        self.lost = 0

    @property
    def dropped(self) -> int:
        return self.memory.dropped + self.lost

    def send(self, data: bytes) -> None:
        if self.dice.random() < 0.2:
            self.lost += not self.memory.closed
            return
        self.memory.send(data)

    def receive(self, budget: int = 1000) -> Iterable[bytes]:
        taken = list(self.memory.receive(budget - min(budget, len(self.late))))
        taken += self.late[: budget - len(taken)]
        self.late = []
        self.dice.shuffle(taken)
        if len(taken) > 1 and len(taken) < 1000:
            self.late = [] if self.memory.closed else [taken[0]]  # again, the next time
        return taken


class Stream(Server):
    """Takes a moment, and has room for few: what it cannot keep up with is dropped."""

    ROOM = 64

    def __init__(self) -> None:
        super().__init__()
        self.to_clients: dict[Address, deque[bytes]] = {}
        self.to_server: deque[tuple[bytes, MemoryClient]] = deque()
        self.lost = 0

    @property
    def dropped(self) -> int:
        return self.memory.dropped + self.lost

    def send(self, data: bytes, address: Address) -> None:
        if self.memory.closed:
            return
        waiting = self.to_clients.setdefault(address, deque())
        if len(waiting) < self.ROOM:
            waiting.append(data)
        else:
            self.lost += 1

    def wait(self) -> None:
        for address, waiting in self.to_clients.items():
            while waiting:
                self.memory.send(waiting.popleft(), address)
        while self.to_server:
            data, client = self.to_server.popleft()
            client.send(data)

    def close(self) -> None:
        self.wait()  # what was sent before goes out
        self.memory.close()


class StreamClient(Client):
    server: Stream

    def __init__(self, server: Stream) -> None:
        super().__init__(server)
        self.lost = 0

    @property
    def dropped(self) -> int:
        return self.memory.dropped + self.lost

    def send(self, data: bytes) -> None:
        if self.memory.closed:
            return
        if len(self.server.to_server) < Stream.ROOM:
            self.server.to_server.append((data, self.memory))
        else:
            self.lost += 1

    def close(self) -> None:
        self.server.wait()
        self.memory.close()


class Loop(Server):
    """Hands datagrams on by itself, whenever a moment passes."""

    def __init__(self) -> None:
        super().__init__()
        self.errors = 0
        self.watched = True
        self.handler: Handler | None = None

    def start(self, handler: Handler) -> None:
        self.handler = handler

    def watch(self, wanted: bool) -> None:
        self.watched = wanted

    def drain(self) -> None:
        if self.handler is not None:
            datagrams = list(self.memory.receive())
            try:
                if datagrams:
                    self.handler(datagrams, 0.0)
            except RuntimeError:
                self.errors += 1

    def wait(self) -> None:
        self.drain()


@pytest.mark.parametrize(
    ("server", "client", "checks"),
    [
        pytest.param(Server, Client, 15, id="plain"),
        pytest.param(Server, Lossy, 15, id="lossy"),
        pytest.param(Stream, StreamClient, 15, id="stream"),
        pytest.param(Loop, Client, 15, id="loop"),
    ],
)
def test_a_transport_that_keeps_the_contract_passes(
    server: type[Server], client: type[Client], checks: int
) -> None:
    report = check_transport(lambda: ends_of(server, client))
    assert report, report
    assert report.checks == checks
    assert report.datagrams > 2000
    assert str(report).endswith("all passed")


# What does not.


class Blocking(Client):
    free = threading.Event()

    def receive(self, budget: int = 1000) -> Iterable[bytes]:
        taken = list(super().receive(budget))
        while not taken and not self.free.wait(0.001):
            taken = list(super().receive(budget))
        return taken


class Cutting(Client):
    def send(self, data: bytes) -> None:
        super().send(data[:1199])


class Joining(Client):
    """Like a stream without frames."""

    def receive(self, budget: int = 1000) -> Iterable[bytes]:
        taken = b"".join(super().receive(budget))
        return [taken] if taken else []


class Changing(Server):
    def send(self, data: bytes, address: Address) -> None:
        super().send(data.rstrip(b"\0"), address)


class RefusingLong(Client):
    def send(self, data: bytes) -> None:
        if len(data) > 65_507:
            raise OSError(90, "Message too long")
        super().send(data)


class Anonymous(Server):
    """Gives one address to all of its clients."""

    def receive(self, budget: int = 1000) -> Iterable[tuple[bytes, Address]]:
        return [(data, ("somewhere", 1)) for data, _ in super().receive(budget)]

    def send(self, data: bytes, address: Address) -> None:
        for each in list(self.memory._clients):
            super().send(data, each)


class Renaming(Server):
    """Gives a client a new address with each datagram."""

    count = 0

    def receive(self, budget: int = 1000) -> Iterable[tuple[bytes, Address]]:
        for data, (host, number) in super().receive(budget):
            self.count += 1
            yield data, (f"{host} {self.count}", number)

    def send(self, data: bytes, address: Address) -> None:
        super().send(data, ("in process", address[1]))


class Shouting(Server):
    """Answers everybody."""

    def send(self, data: bytes, address: Address) -> None:
        for each in list(self.memory._clients):
            super().send(data, each)


class Nameless(Server):
    def receive(self, budget: int = 1000) -> Iterable[tuple[bytes, Address]]:
        return [(data, address[0]) for data, address in super().receive(budget)]  # type: ignore[misc]


class Lavish(Client):
    def receive(self, budget: int = 1000) -> Iterable[bytes]:
        return super().receive(1000)


class LavishServer(Server):
    def receive(self, budget: int = 1000) -> Iterable[tuple[bytes, Address]]:
        return super().receive(1000)


class Pinned(Client):
    """Is deaf once it was pinned twice."""

    pins = 0

    def pin(self) -> None:
        self.pins += 1

    def receive(self, budget: int = 1000) -> Iterable[bytes]:
        return super().receive(budget) if self.pins < 3 else []


class PinnedTooEarly(Client):
    def pin(self) -> None:
        if not self.memory._waiting:
            raise AttributeError("nothing has come yet")


class Hasty(Stream):
    """Forgets at its close what it was to send."""

    client = StreamClient

    def close(self) -> None:
        self.to_clients.clear()
        self.memory.close()


class HastyClient(StreamClient):
    def close(self) -> None:
        self.server.to_server.clear()
        self.memory.close()


class Mourning(Server):
    """Raises for a client that is gone."""

    def send(self, data: bytes, address: Address) -> None:
        if not self.memory.closed and address not in self.memory._clients:
            raise ConnectionResetError(104, "Connection reset by peer")
        super().send(data, address)


class Abandoned(Client):
    """Raises when the server is gone."""

    def receive(self, budget: int = 1000) -> Iterable[bytes]:
        if self.server.memory.closed and not self.memory.closed:
            raise ConnectionRefusedError(111, "Connection refused")
        return super().receive(budget)


class Undead(Client):
    def close(self) -> None: ...


class ClosedOnce(Client):
    def close(self) -> None:
        if self.memory.closed:
            raise ValueError("closed")
        super().close()


class UndeadServer(Server):
    def close(self) -> None: ...


class ClosedOnceServer(Server):
    def close(self) -> None:
        if self.memory.closed:
            raise ValueError("closed")
        super().close()


class Endless(Client):
    """Keeps what the server does not fetch, without a bound."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.kept: deque[bytes] = deque()
        self.take, server.receive = server.receive, self.fed  # type: ignore[method-assign]

    def send(self, data: bytes) -> None:
        if not self.memory.closed:
            self.kept.append(data)

    def fed(self, budget: int = 1000) -> Iterable[tuple[bytes, Address]]:
        for _ in range(min(1000, len(self.kept))):
            self.memory.send(self.kept.popleft())
        return self.take(budget)


class Silent(Server):
    """Does not count what it loses."""

    @property
    def dropped(self) -> int:
        return 0


class Boasting(Client):
    """Counts more than it loses."""

    @property
    def dropped(self) -> int:
        return 2 * super().dropped


class Crowded(Server):
    """Has one buffer for all clients: one that fetches nothing fills it."""

    def send(self, data: bytes, address: Address) -> None:
        waiting = sum(len(each._waiting) for each in self.memory._clients.values())
        if waiting < 4096:
            super().send(data, address)
        else:
            self.memory.dropped += 1


class Eager(Loop):
    """Calls the handler from within its own calls."""

    def send(self, data: bytes, address: Address) -> None:
        super().send(data, address)
        self.drain()


class Fragile(Loop):
    """Does not live through a handler that raises."""

    def drain(self) -> None:
        if self.errors == 0:
            super().drain()


class Uncounting(Loop):
    def drain(self) -> None:
        super().drain()
        self.errors = 0


class Untimed(Loop):
    def start(self, handler: Handler) -> None:
        super().start(lambda datagrams, _: handler(datagrams, None))  # type: ignore[arg-type]


class Lingering(Loop):
    """Hands on what it has, after its close."""

    def drain(self) -> None:
        if self.handler is not None:
            for datagram in list(self.memory.receive()):
                try:
                    self.handler([datagram], 0.0)
                except RuntimeError:
                    self.errors += 1


Fault = tuple[type[Server], type[Client], str]


@pytest.mark.parametrize(
    ("server", "client", "found"),
    [
        (Server, Cutting, "datagrams of all sizes: the server's receive() brought b'"),
        (Server, Joining, "datagrams of all sizes: the client's receive() brought b'"),
        (Changing, Client, "datagrams of all sizes: the client's receive() brought b'"),
        (Server, RefusingLong, "empty and long datagrams: the client's send() raised OSError(90"),
        (Anonymous, Client, "answers to the right client: 6 clients have 1 addresses"),
        (Renaming, Client, "answers to the right client: one client came from ('in process "),
        (Shouting, Client, "answers to the right client: the client's receive() brought b'"),
        (Nameless, Client, "brought 'in process' for an address, not (host, number)"),
        (Server, Lavish, "budget: the client's receive() gave 32 datagrams where 1 were asked for"),
        (LavishServer, Client, "budget: the server's receive() gave 32 datagrams where 1 were"),
        (Server, Pinned, "pin: no datagram of the server arrives at a client"),
        (Server, PinnedTooEarly, "pin: the client's pin() raised AttributeError('nothing has"),
        (Hasty, StreamClient, "before close(): nothing arrives of what the server sends just"),
        (Stream, HastyClient, "before close(): nothing arrives of what clients send just"),
        (Mourning, Client, "a client that is gone: the server's send() raised ConnectionReset"),
        (Server, Abandoned, "a server that is gone: the client's receive() raised Connection"),
        (Server, Undead, "a client that was closed: a client that was closed receives"),
        (Server, ClosedOnce, "a client that was closed: the client's close() raised ValueError("),
        (UndeadServer, Client, "a server that was closed: a server that was closed receives"),
        (ClosedOnceServer, Client, "a server that was closed: the server's close() raised Value"),
        (Server, Endless, "a server that fetches nothing: 20000 datagrams waited for somebody"),
        (Silent, Client, "a client that fetches nothing: 15904 datagrams were lost, and dropped"),
        (Server, Boasting, "a server that fetches nothing: 15904 datagrams were lost, and dropped"),
        (Crowded, Client, "a client that fetches nothing: no datagram of the server arrives at"),
        (Eager, Client, "a handler: the handler was called from within send()"),
        (Fragile, Client, "a handler: the handler does not get"),
        (Uncounting, Client, "a handler: the handler raised 1 times, errors says 0"),
        (Untimed, Client, "a handler: the handler was given None for the time"),
        (Lingering, Client, "a handler that closes: the handler was called 31 times after close()"),
    ],
)
def test_a_fault_is_found(server: type[Server], client: type[Client], found: str) -> None:
    report = check_transport(lambda: ends_of(server, client))
    assert not report
    assert report.checks == 15
    assert any(found in failure for failure in report.failures), report
    assert f"{len(report.failures)} failed" in str(report)


def test_what_blocks_ends_the_checks() -> None:
    report = check_transport(lambda: ends_of(Server, Blocking), seconds=0.5)
    Blocking.free.set()
    (failure,) = report.failures
    assert failure.endswith(": the client's receive() took longer than 0.5 s")
    assert report.checks < 15


def test_what_the_test_itself_raises_is_no_fault_of_the_transport() -> None:
    def failing() -> TransportEnds:
        raise LookupError("no such port")

    with pytest.raises(LookupError, match="no such port"):
        check_transport(failing)

    def unconnectable() -> TransportEnds:
        return TransportEnds(MemoryServer(), lambda: {}["end"])

    with pytest.raises(KeyError, match="end"):
        check_transport(unconnectable)


def test_ends_are_made_for_each_check_and_finished() -> None:
    made: list[MemoryServer] = []
    finished: list[int] = []

    def make() -> TransportEnds:
        server = MemoryServer()
        made.append(server)
        return TransportEnds(server, server.connect, finish=lambda: finished.append(len(made)))

    report = check_transport(make)
    assert report, report
    assert finished == list(range(1, report.checks + 1))
    assert all(server.closed for server in made)


@pytest.mark.parametrize(
    ("make", "seconds", "says"),
    [
        (None, 1, r"check_transport\(make=None"),
        (lambda one: one, 1, r"check_transport\(make"),
        (MemoryServer, -1, r"check_transport\(seconds=-1\): give seconds, from 0 to 3600"),
    ],
)
def test_arguments_that_make_no_sense(
    make: Callable[[], TransportEnds], seconds: float, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        check_transport(make, seconds=seconds)
