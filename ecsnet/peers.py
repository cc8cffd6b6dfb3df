"""The peers of a server, driven together: who connects, what they send and are sent, how they end.

`Peers` joins handshakes, connections and sessions. It takes datagrams in batches and returns what
is new; updates go out in batches, too. What each datagram and packet costs is spent here and below,
so that a faster implementation could take the place of this one: those above know peers,
payloads, reliable messages and integer tags, and never see a packet.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeAlias, cast

from ecsnet.connection.plain import Connection, Listener
from ecsnet.peer import Peer, Send
from ecsnet.session.goodbye import Reason
from ecsnet.session.packets import PayloadT
from ecsnet.session.session import Received
from ecsnet.transport.address import Address, answerable

__all__ = [
    "Abusive",
    "Ended",
    "News",
    "Opened",
    "PeerStats",
    "Peers",
    "UpdateSender",
]

_PACKETS_AT_ONCE: Final = 16


class Opened:
    """A client has connected."""


class Abusive:
    """A peer sends too much, or what no honest one does, again and again."""


@dataclass(slots=True)
class Ended:
    """A session has ended: by the client's goodbye or silence, or since it came anew.

    Attributes:
        reason: Why.
    """

    reason: Reason


News: TypeAlias = Received[PayloadT] | Opened | Abusive | Ended
"""News of a peer."""


@dataclass(slots=True)
class PeerStats:
    """The counts of all sessions of a server so far.

    Attributes:
        packets_sent: Packets sent.
        packets_received: Packets received, without those that were dropped.
        bytes_sent: Bytes in all datagrams sent, those of handshakes among them.
    """

    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0


class Peers(Generic[PayloadT]):
    """The peers of one server.

    Args:
        listener: Answers handshakes, and decides who may have a connection.
        send: Sends a datagram.
        make_peer: Makes the peer for a new connection.
        on_refused: Called with the address of a client that is turned away, why, and seconds.

    Attributes:
        listener: The same.
        by_address: Those that are there, by the address that their datagrams come from. There is no
            other table of addresses.
    """

    def __init__(
        self,
        listener: Listener,
        send: Send,
        make_peer: Callable[[], Peer[PayloadT]],
        on_refused: Callable[[Address, Reason, float], None],
    ) -> None:
        self.listener = listener
        self.by_address: dict[Address, Peer[PayloadT]] = {}
        self._send = send
        self._make_peer = make_peer
        self._on_refused = on_refused
        self._gone = PeerStats()  # of handshakes, and of peers that are gone

    def stats(self) -> PeerStats:
        """Return the counts so far."""
        stats = replace(self._gone)
        for peer in self.by_address.values():
            _count(peer, stats)
        return stats

    def receive_datagrams(
        self, datagrams: Iterable[tuple[bytes, Address]], now: float
    ) -> list[tuple[Peer[PayloadT], News[PayloadT]]]:
        """Take datagrams; return what is new, in order. What is wrong with one is counted.

        When the caller looks at some news its peer may be gone.

        Args:
            datagrams: Datagrams, and where they came from.
            now: Seconds on a clock that never runs backwards.
        """
        news: list[tuple[Peer[PayloadT], News[PayloadT]]] = []
        by_address = self.by_address
        for data, address in datagrams:
            peer = by_address.get(address)
            if (
                peer is None
                or peer.connection is None
                or (packet := peer.connection.open(data, now)) is None
            ):
                news += self._receive_stray(data, address, peer, now)
                continue
            received = peer.receive_packet(packet, now)
            if received is not None:
                news.append((peer, received))
            elif peer.goodbye is not None:
                self._end(peer, now)
                news.append((peer, Ended(peer.goodbye.reason)))
            elif peer.abusive:
                news.append((peer, Abusive()))
        return news

    def _receive_stray(
        self, data: bytes, address: Address, old: Peer[PayloadT] | None, now: float
    ) -> list[tuple[Peer[PayloadT], News[PayloadT]]]:
        """Take a datagram in which there is no packet of the peer at its address."""
        news: list[tuple[Peer[PayloadT], News[PayloadT]]] = []
        if not answerable(address):
            return news
        result = self.listener.receive_handshake(
            data, address, now, None if old is None else old.connection
        )
        if result is None:
            return news
        if result.refused is not None:
            self._on_refused(address, result.refused, now)
        if result.opened is not None:
            if old is not None:  # the listener has closed its connection
                self._remove(old)
                news.append((old, Ended(Reason.REPLACED)))
            peer = self._make_peer()
            self._add(peer, result.opened)
            news.append((peer, Opened()))
        for reply in result.replies:
            self._gone.bytes_sent += len(reply)
            self._send(reply, address)
        return news

    def give_up_silent(self, now: float) -> list[Peer[PayloadT]]:
        """Disconnect the peers that have fallen silent, and return them; to be called some times a
        second. While this end stood still itself nobody was silent; see `Listener.stalled`.
        """
        connections = [peer.connection for peer in self.by_address.values() if peer.connection]
        silent = [
            self.by_address[cast(Address, connection.address)]
            for connection in self.listener.silent(connections, now)
        ]
        for peer in silent:  # a client that sleeps hears it one day
            self.disconnect(peer, Reason.TIMEOUT, "", now)
        return silent

    def disconnect(self, peer: Peer[PayloadT], reason: Reason, text: str, now: float) -> None:
        """End a session and tell its client why; nothing happens where it has ended.

        Args:
            peer: The peer.
            reason: Why.
            text: What there is to say beside it, for the player.
            now: Seconds, as for `receive_datagrams`.
        """
        if self.by_address.get(peer.address) is peer:
            last_words = peer.send_goodbye(reason, text, now)
            self._end(peer, now, abusive=reason is Reason.ABUSE, last_words=last_words)

    def relink(self, peer: Peer[PayloadT], connection: Connection, now: float) -> None:
        """Go on with a peer over another connection; its session and messages stay.

        Args:
            peer: The peer, whose connection is up.
            connection: The new one, with the address of its client.
            now: Seconds, as for `receive_datagrams`.
        """
        old = peer.connection
        assert old is not None
        self.listener.ended(old, now)
        del self.by_address[peer.address]
        self.listener.opened(connection, now)
        self._add(peer, connection)

    def _add(self, peer: Peer[PayloadT], connection: Connection) -> None:
        host, *port = cast(Address, connection.address)
        # Found by its address with each datagram: what addresses have in common is there once.
        address = cast(Address, (sys.intern(host), *port))
        peer.relink(connection, address, self._send)
        self.by_address[address] = peer

    def _end(
        self,
        peer: Peer[PayloadT],
        now: float,
        *,
        abusive: bool = False,
        last_words: Sequence[bytes] = (),
    ) -> None:
        connection = peer.connection
        assert connection is not None
        self.listener.ended(connection, now, abusive=abusive, last_words=last_words)
        self._remove(peer)

    def _remove(self, peer: Peer[PayloadT]) -> None:
        del self.by_address[peer.address]
        _count(peer, self._gone)


class UpdateSender:
    """Sends payloads to many peers, one to each.

    Some packets are made before these go out: the system's part of sending pushes our code out of
    the processor's cache. They are not made all at once, since what hundreds of them take in memory
    is not in that cache either.

    Args:
        now: Seconds.
    """

    __slots__ = ("_now", "_packets", "_peers")

    def __init__(self, now: float) -> None:
        self._now = now
        self._peers: list[Peer[object]] = []  # one for each packet
        self._packets: list[bytes] = []

    def send(self, peer: Peer[object], payload: object, tag: int) -> None:
        """Send a payload with the next packets that go out; see `Peer.send`."""
        if peer.unacked:
            for packet in peer.pack(payload, self._now, tag):  # with messages
                self._peers.append(peer)
                self._packets.append(packet)
        else:
            self._peers.append(peer)
            self._packets.append(peer.session.send(payload, self._now, tag))
        if len(self._packets) >= _PACKETS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Let go out what is still here; to be called after the last payload."""
        # By index: compiled, each step of a zip(strict=True) is a call of Python.
        for at, peer in enumerate(self._peers):
            peer.transmit(self._packets[at])
        self._peers.clear()
        self._packets.clear()


def _count(peer: Peer[PayloadT], stats: PeerStats) -> None:
    """Add what was sent to a peer, and what came from it."""
    stats.bytes_sent += peer.bytes_sent
    stats.packets_sent += peer.session.packets_sent
    stats.packets_received += peer.session.packets_received
