"""The check that a transport keeps the contract in `ecsnet.transport.contract`.

::

    from ecsnet.testing import TransportEnds, check_transport
    from ecsnet.transport.memory import MemoryServer

    def test_memory_keeps_the_contract() -> None:
        def make() -> TransportEnds:
            server = MemoryServer()
            return TransportEnds(server, server.connect)

        report = check_transport(make)
        assert report, report

A transport on an event loop is made, and run for a moment at a time, on a loop of its own::

    def make() -> TransportEnds:
        runner = asyncio.Runner()
        server = runner.run(bind())  # a coroutine that makes the server's end
        return TransportEnds(
            server,
            lambda: runner.run(dial(server.address)),
            wait=lambda: runner.run(asyncio.sleep(0.001)),
            finish=runner.close,
        )
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar, cast

from ecsnet.transport.address import Address
from ecsnet.transport.contract import (
    DATAGRAM_BYTES,
    POLL_BUDGET,
    ClientTransport,
    Handler,
    LoopServerTransport,
    ServerTransport,
)
from ecsnet.validation.arguments import check_function, check_number
from ecsnet.validation.wording import brief

__all__ = ["TransportEnds", "TransportReport", "check_transport"]

FLOOD: Final = 20_000
"""Datagrams that nobody fetches, in the checks that look for a bound."""

_WAITS = 2000  # for something to arrive
_AGAIN = 100  # waits, after which what is missing is sent again
_AT_ONCE = 32  # datagrams on their way: any transport has room for them
_SECONDS = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TransportEnds:
    """The ends of a transport that is to be checked.

    Attributes:
        server: The server's end.
        connect: Makes a client's end that sends to that server. It need not be connected yet.
        wait: Lets about a millisecond pass, and an event loop run; None where what was sent is
            there at once.
        finish: Called after the ends were closed, to close what they ran on.
        counts_losses: Whether one of the ends counts each datagram that is lost on this machine.
            What the buffers of an operating system lose, it does not tell.
    """

    server: ServerTransport
    connect: Callable[[], ClientTransport]
    wait: Callable[[], object] | None = None
    finish: Callable[[], object] | None = None
    counts_losses: bool = True


@dataclass(slots=True)
class TransportReport:
    """The result of `check_transport`. It is true when the transport keeps the contract.

    Attributes:
        checks: Checks made.
        datagrams: Datagrams that arrived in them, all of them as they were sent.
        failures: A line for each check that failed.
    """

    checks: int = 0
    datagrams: int = 0
    failures: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        made = f"{self.checks} checks with {self.datagrams} datagrams"
        if not self.failures:
            return f"{made}, all passed"
        return "\n  ".join([f"{made}, {len(self.failures)} failed:", *self.failures])


def check_transport(
    make: Callable[[], TransportEnds], *, seconds: float = _SECONDS
) -> TransportReport:
    """Check that a transport keeps the contract of `ecsnet.transport.contract`.

    It is tried that datagrams of every size arrive unchanged and in any order, that answers reach
    the client they are for, that budgets are respected, that nothing blocks or raises, that ends
    can be closed at any time and that peers can be gone, that what nobody fetches is lost beyond a
    bound, counted, and holds nobody else up. A datagram that got lost is sent again, so a transport
    may lose some. One whose server's end has a method ``start`` is also tried as a
    `LoopServerTransport`; there a handler raises once on purpose, which is logged.

    Args:
        make: Makes new ends. It is called for each check, in a thread of the check's own, which
            makes all calls of these ends.
        seconds: After so long a check counts as blocked, and ends them all.

    Returns:
        The report; false when something is not as it should be.

    Raises:
        UsageError: An argument is invalid.
        Exception: What ``make``, or a function that it gave, raised.
    """
    check_function("check_transport(make", make, "")
    check_number("check_transport(seconds", seconds, 0, 3600, "give seconds, from 0 to 3600")
    report = TransportReport()
    for name, check in _CHECKS.items():
        run = _Run(make, check)
        thread = threading.Thread(target=run, name=f"check {name}", daemon=True)
        thread.start()
        thread.join(seconds)
        report.checks += 1
        report.datagrams += run.datagrams
        if thread.is_alive():
            report.failures.append(f"{name}: {run.doing} took longer than {seconds:g} s")
            break
        if run.error is not None:
            raise run.error
        if run.failure is not None:
            report.failures.append(f"{name}: {run.failure}")
    return report


def _nothing() -> None:
    """Do nothing."""


class _Failure(Exception):  # noqa: N818 - it never leaves this module
    """A breach of the contract."""


class _Run:
    """One check, with the ends that were made for it."""

    def __init__(self, make: Callable[[], TransportEnds], check: Callable[[_Ends], None]) -> None:
        self.failure: str | None = None
        self.error: BaseException | None = None
        self._make = make
        self._check = check
        self._ends: _Ends | None = None

    @property
    def datagrams(self) -> int:
        return 0 if self._ends is None else self._ends.arrived

    @property
    def doing(self) -> str:
        return "making the ends" if self._ends is None else self._ends.doing

    def __call__(self) -> None:
        try:
            made = self._make()
            try:
                ends = self._ends = _Ends(made)
                try:
                    self._check(ends)
                finally:
                    ends.close()
            finally:
                if made.finish is not None:
                    made.finish()
        except _Failure as failure:
            self.failure = str(failure)
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.error = error


class _Client:
    """A client's end, and what may arrive at it."""

    def __init__(self, end: ClientTransport, number: int) -> None:
        self.end = end
        self.name = b"client %d" % number
        self.address: Address | None = None  # once the server has heard it
        self.sent_to: set[bytes] = set()


class _Ends:
    """The ends, with every call watched: none may raise, or bring what nobody has sent."""

    def __init__(self, made: TransportEnds) -> None:
        self.server = made.server
        self.counts_losses = made.counts_losses
        self.arrived = 0
        self.doing = "the check"
        self._made = made
        self._clients: list[_Client] = []
        self._sent: set[bytes] = set()  # to the server, by anybody
        self._found: _Failure | None = None  # in a handler

    # Calls.

    def call(self, what: str, function: Callable[[], T]) -> T:
        """Call a transport; that it raises is a failure."""
        before, self.doing = self.doing, what
        try:
            return function()
        except Exception as error:
            raise _Failure(f"{what} raised {error!r}") from error
        finally:
            self.doing = before  # a handler's call is made from within another

    def connect(self) -> _Client:
        client = _Client(self._made.connect(), len(self._clients))
        self._clients.append(client)
        return client

    def wait(self) -> None:
        if self._made.wait is not None:
            self._made.wait()

    def send(self, client: _Client, data: bytes) -> None:
        self._sent.add(data)
        self.call("the client's send()", lambda: client.end.send(data))

    def answer(self, client: _Client, data: bytes) -> None:
        """Send something to a client that was heard."""
        address = client.address
        assert address is not None
        client.sent_to.add(data)
        self.call("the server's send()", lambda: self.server.send(data, address))

    def receive(self, client: _Client, budget: int = POLL_BUDGET) -> list[bytes]:
        """Fetch what waits for a client."""
        what = "the client's receive()"
        datagrams = self._within(
            what, budget, self.call(what, lambda: list(client.end.receive(budget)))
        )
        for data in datagrams:
            if not _sent(data, client.sent_to):
                raise _Failure(f"{what} brought {brief(data)}, which nobody sent to this client")
        return datagrams

    def take(self, budget: int = POLL_BUDGET) -> list[tuple[bytes, Address]]:
        """Fetch what waits for the server."""
        what = "the server's receive()"
        datagrams = self._within(
            what, budget, self.call(what, lambda: list(self.server.receive(budget)))
        )
        for data, address in datagrams:
            self.check_came(what, data, address)
        return datagrams

    def check_came(self, what: str, data: object, address: object) -> None:
        """Check what the server is given for a datagram."""
        if not _sent(data, self._sent):
            raise _Failure(f"{what} brought {brief(data)}, which no client sent")
        if not (
            isinstance(address, tuple)
            and len(address) in (2, 4)
            and isinstance(address[0], str)
            and isinstance(address[1], int)
        ):
            raise _Failure(f"{what} brought {brief(address)} for an address, not (host, number)")

    def _within(self, what: str, budget: int, datagrams: list[T]) -> list[T]:
        if len(datagrams) > budget:
            raise _Failure(f"{what} gave {len(datagrams)} datagrams where {budget} were asked for")
        self.arrived += len(datagrams)
        return datagrams

    def watched(self, handler: Handler) -> Handler:
        """Keep what a handler finds for `until`: a transport catches all that is raised in it."""

        def watching(datagrams: Sequence[tuple[bytes, Address]], now: float) -> None:
            try:
                handler(datagrams, now)
            except _Failure as failure:
                self._found = failure

        return watching

    # What takes several calls.

    def until(
        self, done: Callable[[], object], missing: str, again: Callable[[], None] = _nothing
    ) -> None:
        """Wait for something, and do ``again`` what may have got lost."""
        for turn in range(_WAITS):
            if turn % _AGAIN == 0:
                again()
            if self._found is not None:
                raise self._found
            if done():
                return
            self.wait()
        raise _Failure(missing)

    def hear(self, client: _Client) -> Address:
        """Let the server hear a client; returns the address."""
        found: list[Address] = []

        def heard() -> bool:
            found.extend(address for data, address in self.take() if data == client.name)
            return bool(found)

        self.until(heard, "no datagram of a client arrives", lambda: self.send(client, client.name))
        if client.address is not None and found[0] != client.address:
            raise _Failure(f"one client came from {client.address}, and then from {found[0]}")
        client.address = found[0]
        return found[0]

    def reach(self, client: _Client, text: bytes) -> None:
        """Let a client hear the server."""
        self.until(
            lambda: text in self.receive(client),
            "no datagram of the server arrives at a client",
            lambda: self.answer(client, text),
        )

    def greet(self) -> _Client:
        """Make a client and let both ends hear each other."""
        client = self.connect()
        self.hear(client)
        self.reach(client, b"hello, " + client.name)
        return client

    def settle(self, fetch: Callable[[], list[T]]) -> list[T]:
        """Fetch until nothing more comes."""
        fetched: list[T] = []
        quiet = 0
        while quiet < _AGAIN:
            new = fetch()
            fetched += new
            quiet = 0 if new else quiet + 1
            if not new:
                self.wait()
        return fetched

    def close(self) -> None:
        for client in self._clients:
            self.call("the client's close()", client.end.close)
        self.call("the server's close()", self.server.close)


def _sent(data: object, sent: set[bytes]) -> bool:
    """Return whether a datagram is among the sent ones; an overlong one may be cut off."""
    if not isinstance(data, bytes):
        return False
    return data in sent or (
        len(data) > DATAGRAM_BYTES and any(whole.startswith(data) for whole in sent)
    )


# The checks.

_ALL_SIZES = range(1, DATAGRAM_BYTES + 1)


def _sizes(ends: _Ends) -> None:
    client = ends.greet()
    datagrams = [bytes(index * size % 251 for index in range(size)) for size in _ALL_SIZES]
    for first in range(0, len(datagrams), _AT_ONCE):
        _carry(ends, client, datagrams[first : first + _AT_ONCE])


def _carry(ends: _Ends, client: _Client, datagrams: list[bytes], budget: int = POLL_BUDGET) -> None:
    """Let all of these datagrams arrive, in whatever order, at the server and at a client."""
    _cross(ends, datagrams, partial(ends.send, client), lambda: _texts(ends.take(budget)))
    _cross(ends, datagrams, partial(ends.answer, client), lambda: ends.receive(client, budget))


def _cross(
    ends: _Ends,
    datagrams: list[bytes],
    send: Callable[[bytes], None],
    fetch: Callable[[], list[bytes]],
) -> None:
    missing = dict.fromkeys(datagrams)

    def arrived() -> bool:
        for data in fetch():
            missing.pop(data, None)
        return not missing

    def again() -> None:
        for data in missing:
            send(data)

    size = len(datagrams[-1])
    ends.until(arrived, f"not all datagrams of up to {size} bytes arrive", again)


def _texts(datagrams: Iterable[tuple[bytes, Address]]) -> list[bytes]:
    return [data for data, _ in datagrams]


def _odd_sizes(ends: _Ends) -> None:
    client = ends.greet()
    for size in (0, DATAGRAM_BYTES + 1, 9_000, 65_507, 70_000, 1 << 20):
        data = bytes(size)
        ends.send(client, data)
        ends.answer(client, data)
        ends.hear(client)
        ends.reach(client, b"after %d bytes" % size)


def _right_client(ends: _Ends) -> None:
    clients = [ends.connect() for _ in range(6)]
    addresses = [ends.hear(client) for client in clients]
    if len(set(addresses)) < len(clients):
        raise _Failure(f"{len(clients)} clients have {len(set(addresses))} addresses")
    if any(address[1] == 0 for address in addresses):
        raise _Failure("a client's address ends in 0, as those that nobody can answer")
    for turn in range(5):
        for client in clients:
            ends.answer(client, b"%d for %s" % (turn, client.name))
        for client in clients:
            ends.reach(client, b"%d for %s" % (turn, client.name))
            ends.hear(client)


def _budget(ends: _Ends) -> None:
    client = ends.greet()
    texts = [b"%d" % number for number in range(_AT_ONCE)]
    for budget in (1, 7):
        _carry(ends, client, texts, budget)
    ends.send(client, b"x")
    ends.answer(client, b"x")
    ends.wait()
    ends.take(0)
    ends.receive(client, 0)


def _nothing_waits(ends: _Ends) -> None:
    client = ends.connect()
    for _ in range(20):
        ends.take()
        ends.receive(client)
        ends.wait()


def _pin(ends: _Ends) -> None:
    client = ends.connect()
    ends.call("the client's pin()", client.end.pin)  # nothing to stay with yet
    ends.hear(client)
    ends.reach(client, b"one")
    for number in range(3):
        ends.call("the client's pin()", client.end.pin)
        ends.hear(client)
        ends.reach(client, b"pinned %d" % number)


def _last_words(ends: _Ends) -> None:
    clients = [ends.greet() for _ in range(5)]
    heard: list[bytes] = []
    for client in clients[:4]:
        ends.send(client, b"goodbye from " + client.name)
        ends.call("the client's close()", client.end.close)

    def some_heard() -> bool:
        heard.extend(_texts(ends.take()))
        return any(data.startswith(b"goodbye from") for data in heard)

    ends.until(some_heard, "nothing arrives of what clients send just before their close()")
    for number in range(4):
        ends.answer(clients[4], b"goodbye, the %d." % number)
    ends.call("the server's close()", ends.server.close)
    ends.until(
        lambda: any(data.startswith(b"goodbye,") for data in ends.receive(clients[4])),
        "nothing arrives of what the server sends just before its close()",
    )


def _client_gone(ends: _Ends) -> None:
    gone, other = ends.greet(), ends.greet()
    ends.call("the client's close()", gone.end.close)
    for number in range(50):
        ends.answer(gone, b"anybody?")
        if number % 10 == 0:
            ends.hear(other)
            ends.reach(other, b"%d" % number)
        ends.wait()


def _server_gone(ends: _Ends) -> None:
    client = ends.greet()
    ends.call("the server's close()", ends.server.close)
    for _ in range(50):
        ends.send(client, b"anybody?")
        ends.receive(client)
        ends.wait()


def _closed_client(ends: _Ends) -> None:
    client, other = ends.greet(), ends.greet()
    ends.answer(client, b"too late")
    for _ in range(2):
        ends.call("the client's close()", client.end.close)
        if ends.receive(client):
            raise _Failure("a client that was closed receives")
        ends.send(client, b"from a closed end")
        ends.call("the client's pin()", client.end.pin)
    ends.hear(other)
    if b"from a closed end" in _texts(ends.settle(ends.take)):
        raise _Failure("a client that was closed sends")


def _closed_server(ends: _Ends) -> None:
    client = ends.greet()
    ends.send(client, b"too late")
    ends.wait()
    for _ in range(2):
        ends.call("the server's close()", ends.server.close)
        if ends.take():
            raise _Failure("a server that was closed receives")
        ends.answer(client, b"from a closed end")
    if b"from a closed end" in ends.settle(lambda: ends.receive(client)):
        raise _Failure("a server that was closed sends")


def _flood_of_the_server(ends: _Ends) -> None:
    client = ends.greet()
    before = _dropped(ends, client)
    for number in range(FLOOD):
        ends.send(client, _flood(number))
        if number % 1000 == 0:
            ends.wait()
    arrived = _texts(ends.settle(ends.take))
    _check_losses(ends, arrived, _dropped(ends, client) - before)
    ends.hear(client)


def _flood_of_a_client(ends: _Ends) -> None:
    slow, other = ends.greet(), ends.greet()
    before = _dropped(ends, slow)
    for number in range(FLOOD):
        ends.answer(slow, _flood(number))
        if number % 1000 == 0:
            ends.reach(other, b"%d" % number)
    arrived = ends.settle(lambda: ends.receive(slow))
    _check_losses(ends, arrived, _dropped(ends, slow) - before)
    ends.reach(slow, b"afterwards")


def _flood(number: int) -> bytes:
    return number.to_bytes(8, "big") + bytes(DATAGRAM_BYTES - 8)


def _dropped(ends: _Ends, client: _Client) -> int:
    return ends.call("dropped", lambda: ends.server.dropped + client.end.dropped)


def _check_losses(ends: _Ends, arrived: list[bytes], dropped: int) -> None:
    lost = FLOOD - sum(len(data) == DATAGRAM_BYTES for data in set(arrived))
    if not lost:
        raise _Failure(f"{FLOOD} datagrams waited for somebody to fetch them: there is no bound")
    if dropped > lost or (ends.counts_losses and dropped < lost):
        raise _Failure(f"{lost} datagrams were lost, and dropped went up by {dropped}")


def _handler(ends: _Ends) -> None:
    server = _on_loop(ends)
    if server is None:
        return
    client = ends.connect()
    ends.send(client, client.name)  # it waits, or is lost
    ends.wait()
    within: list[str] = []  # a call of the transport, while it lasts
    texts: list[bytes] = []
    raised = 0

    def handle(datagrams: Sequence[tuple[bytes, Address]], now: float) -> None:
        nonlocal raised
        if within:
            raise _Failure(f"the handler was called from within {within[-1]}()")
        if not isinstance(now, float):
            raise _Failure(f"the handler was given {brief(now)} for the time")
        for data, address in datagrams:
            ends.check_came("the handler", data, address)
            client.address = address
            if not texts:
                ends.send(client, b"meanwhile")  # it waits until this call is over
            texts.append(data)
            within.append("send")
            ends.answer(client, b"answer to " + data)
            within.pop()
        if any(data == b"raise" for data, _ in datagrams):
            raised += 1
            raise RuntimeError("a handler that check_transport lets raise")

    within.append("start")
    ends.call("start()", lambda: server.start(ends.watched(handle)))
    within.pop()
    for number, wanted in enumerate((True, False, True, False)):
        ends.call("watch()", partial(server.watch, wanted))
        _hand_on(ends, client, b"%d, watched: %d" % (number, wanted), texts, _nothing)
    ends.until(
        lambda: any(data.startswith(b"answer to") for data in ends.receive(client)),
        "what the handler sends does not arrive",
    )
    for text in (b"raise", b"after one that raised"):
        _hand_on(ends, client, text, texts, server.drain)
    if server.errors != raised:
        raise _Failure(f"the handler raised {raised} times, errors says {server.errors}")
    ends.arrived += len(texts)


def _hand_on(
    ends: _Ends, client: _Client, text: bytes, texts: list[bytes], drain: Callable[[], None]
) -> None:
    """Let a text reach the handler, which adds it to others."""

    def arrived() -> bool:
        ends.call("drain()", drain)
        return text in texts

    ends.until(
        arrived, f"the handler does not get {text.decode()!r}", lambda: ends.send(client, text)
    )


def _handler_that_closes(ends: _Ends) -> None:
    server = _on_loop(ends)
    if server is None:
        return
    client = ends.connect()
    calls: list[int] = []

    def handle(datagrams: Sequence[tuple[bytes, Address]], _now: float) -> None:
        calls.append(len(datagrams))
        ends.call("the server's close()", server.close)

    ends.call("start()", lambda: server.start(ends.watched(handle)))

    def send_some() -> None:
        for number in range(_AT_ONCE):
            ends.send(client, b"%d" % number)

    ends.until(lambda: calls, "the handler is not called", send_some)
    for _ in range(20):
        ends.call("drain()", server.drain)
        ends.call("watch()", lambda: server.watch(True))
        ends.wait()
    if len(calls) != 1:
        raise _Failure(f"the handler was called {len(calls) - 1} times after close()")


def _on_loop(ends: _Ends) -> LoopServerTransport | None:
    return cast(LoopServerTransport, ends.server) if hasattr(ends.server, "start") else None


_CHECKS: dict[str, Callable[[_Ends], None]] = {
    "datagrams of all sizes": _sizes,
    "empty and long datagrams": _odd_sizes,
    "answers to the right client": _right_client,
    "budget": _budget,
    "nothing waits": _nothing_waits,
    "pin": _pin,
    "what is sent before close()": _last_words,
    "a client that is gone": _client_gone,
    "a server that is gone": _server_gone,
    "a client that was closed": _closed_client,
    "a server that was closed": _closed_server,
    "a server that fetches nothing": _flood_of_the_server,
    "a client that fetches nothing": _flood_of_a_client,
    "a handler": _handler,
    "a handler that closes": _handler_that_closes,
}
