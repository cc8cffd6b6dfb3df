"""The connection: a handshake that proves the address, and an envelope round packets.

This is all that stands between a session and the datagrams; it knows nothing about what
the packets mean. The bytes are laid out in ``docs/protocol.md``::

    client                                     server
    REQUEST   magic version nonce pad    -->   (keeps nothing)
                                         <--   CHALLENGE nonce time cookie
    RESPONSE  nonce time cookie pad      -->   makes the Connection
                                         <--   ACCEPT nonce session-id
    PAYLOAD   packet                     <->   PAYLOAD packet

The cookie is a keyed hash over address, nonce and time, so that a forged source address
costs the server one hash and no memory. No answer is longer than its question. Every
datagram ends in a CRC-32: over the handshake seeded with the client's nonce, afterwards
with the session's random id and the direction, so that corrupt, foreign and reflected
datagrams are dropped. It is a checksum and not a signature: it keeps accidents and blind
forgers out, not somebody who reads the traffic.

An end of a connection is silence here: why it ends is said in its last packets, see
`Session.pack_goodbye`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Final
from zlib import crc32

from ecsnet.connection.admission import Admission, Denial
from ecsnet.limits import MAX_PACKET
from ecsnet.session.goodbye import Reason, code_of, reason_of
from ecsnet.session.sequence import unwrap
from ecsnet.session.token_bucket import TokenBucket

__all__ = [
    "CONNECTION_VERSION",
    "MAX_DATAGRAM",
    "OVERHEAD",
    "TIMEOUT",
    "ClientHandshake",
    "Connection",
    "Listener",
    "ListenerResult",
]

CONNECTION_VERSION: Final = 2
MAGIC: Final = b"ECSN"

OVERHEAD: Final = 5
"""Bytes that the envelope adds to a packet: one for the kind, four for the checksum."""

MAX_DATAGRAM: Final = MAX_PACKET + OVERHEAD

TIMEOUT: Final = 10.0
"""Seconds without a sound datagram after which a connection is given up."""

REQUEST: Final = 1
CHALLENGE: Final = 2
RESPONSE: Final = 3
ACCEPT: Final = 4
REFUSE: Final = 5
PAYLOAD: Final = 6

_NONCE: Final = 8
_SESSION_ID: Final = 8
_COOKIE: Final = 16
_ASK_BYTES: Final = 64  # REQUEST and RESPONSE: padded to more than any answer
_CHALLENGE_BYTES: Final = 1 + _NONCE + 4 + _COOKIE + 4
_ACCEPT_BYTES: Final = 1 + _NONCE + _SESSION_ID + 4
_REFUSE_BYTES: Final = 1 + _NONCE + 1 + 2 + 4

# The CRC of anything followed by its own CRC is this number, whatever the seed: checking
# needs neither a slice nor the stored sum.
_SOUND: Final = 0x2144DF1C

# For what happens with each packet: compiled code need not look these up, nor, as they take and
# give objects, unpack a number from the one to pack it for the other.
_crc32: Final[Callable[[bytes, object], object]] = crc32  # type: ignore[assignment]
_four_bytes: Final[Callable[[object], bytes]] = Struct("<I").pack

_PAYLOAD_KIND: Final = bytes([PAYLOAD])
_COOKIE_LIFE_MS: Final = 10_000
_UNCONFIRMED_TIMEOUT: Final = 3.0
_RETRY: Final = 0.2
# One poll gap longer than this is a stall of this end, for which peers are not blamed.
_STALL: Final = 0.25
# So many connections that have ended are remembered; of those that this end gave up or threw out,
# to tell them again.
_ENDED: Final = 4096
_DISMISSED: Final = 4096
# Seconds for which nobody is told again that a connection has ended: the goodbyes themselves are on
# their way still, and say more.
_LAST_WORDS_AFTER: Final = 1.0
# Questions from addresses without a connection that are answered in a second.
_HANDSHAKE_RATE: Final = 5000.0


_REASON_OF: Final = {
    Denial.FULL: Reason.FULL,
    Denial.ADDRESS: Reason.ADDRESS,
    Denial.JOINS: Reason.ADDRESS,
    Denial.ABUSE: Reason.ABUSE,
}


def _finish(body: bytes, seed: int) -> bytes:
    return body + crc32(body, seed).to_bytes(4, "little")


def _handshake_seed(nonce: bytes) -> int:
    return crc32(nonce, crc32(MAGIC))


class Connection:
    """One end of an accepted connection: puts packets into envelopes and takes them out.

    Attributes:
        address: Where the peer's datagrams come from, as the transport spells it; None
            on the client, whose socket knows.
        session_id: The 8 random bytes that the server chose.
        closed: Whether it has ended.
        heard: When the last sound datagram came in; stalls of this end are added.
        confirmed: On the server, whether a packet has come since the handshake.
        rejected: Datagrams that were not sound or not ours.
    """

    __slots__ = (
        "_checked",
        "_in",
        "_issued",
        "_nonce",
        "_payload_out",
        "address",
        "closed",
        "confirmed",
        "heard",
        "rejected",
        "session_id",
    )

    def __init__(
        self,
        address: Hashable,
        session_id: bytes,
        now: float,
        *,
        server: bool,
        nonce: bytes = b"",
        issued: int = 0,
    ) -> None:
        seed = crc32(session_id)
        to_server, to_client = crc32(b"to server", seed), crc32(b"to client", seed)
        seeds = (to_server, to_client) if server else (to_client, to_server)
        self._payload_out = crc32(_PAYLOAD_KIND, seeds[1])
        self._in = seeds[0]
        self.closed = False
        self.heard = now
        self.confirmed = False
        self.address = address
        self.session_id = session_id
        self.rejected = 0
        self._nonce = nonce
        self._issued = issued
        self._checked = now

    def seal(self, packet: bytes) -> bytes:
        """Return the datagram that carries ``packet``."""
        return _PAYLOAD_KIND + packet + _four_bytes(_crc32(packet, self._payload_out))

    def open(self, datagram: bytes, now: float) -> bytes | None:
        """Return the packet in a datagram; None when there is none, because it is corrupt, foreign
        or of another kind, or because the connection has ended.
        """
        if (
            _crc32(datagram, self._in) == _SOUND
            and OVERHEAD < len(datagram) <= MAX_DATAGRAM
            and datagram[0] == PAYLOAD
            and not self.closed
        ):
            self.heard = now
            self.confirmed = True
            return datagram[1:-4]
        self.rejected += 1
        return None

    def silent(self, now: float, timeout: float = TIMEOUT) -> bool:
        """Return whether nothing has come for so many seconds in which this end was listening.

        For the client, which asks once a poll; a server's Listener does it for all.
        """
        self.heard = min(now, self.heard + max(0.0, now - self._checked - _STALL))
        self._checked = now
        return now - self.heard > timeout

    def owns(self, datagram: bytes) -> bool:
        """Return whether a datagram is a sound PAYLOAD of this connection, also after its end."""
        return datagram[:1] == _PAYLOAD_KIND and _crc32(datagram, self._in) == _SOUND


@dataclass(slots=True)
class ListenerResult:
    """The result of one datagram that a Listener received.

    Attributes:
        replies: Datagrams to send back to where it came from.
        opened: The connection that it made; it takes the place of the one that its address had.
        refused: Why somebody is turned away whose address is proved.
    """

    replies: Sequence[bytes] = ()
    opened: Connection | None = None
    refused: Reason | None = None


class Listener:
    """The server's part in the handshake: answers questions, and remembers who was here.

    It never raises on what comes in, keeps no state for an address that has not proved itself, and
    answers nothing that is not a well-formed question. The connections are kept by its caller.

    Args:
        secret: A key for the cookies, random and never told, 16 to 64 bytes.
        random: Returns that many random bytes; for session ids.
        max_clients: Connections at one time; who comes later is refused as FULL, and as ADDRESS
            where one source alone has too many.
        timeout: Seconds of silence after which a connection has to end.
        per_address: How many of them one source of connections may have; see `Admission`.
        source: What counts as one source, from an address; each address by itself when left out.

    Attributes:
        admission: Who may have one more of them.
        stalled: Seconds for which this end stood still, as the last `silent` found.
        dropped: Datagrams dropped, by cause.
    """

    def __init__(
        self,
        secret: bytes,
        random: Callable[[int], bytes],
        max_clients: int,
        *,
        timeout: float = TIMEOUT,
        per_address: int | None = None,
        source: Callable[[Hashable], Hashable] | None = None,
    ) -> None:
        self.admission = Admission(max_clients, per_address, source or _itself)
        self.stalled = 0.0
        self.dropped: Counter[str] = Counter()
        self.timeout = timeout
        self._secret = secret
        self._random = random
        self._handshakes = TokenBucket(_HANDSHAKE_RATE, _HANDSHAKE_RATE / 10)
        self._checked: float | None = None
        # Address -> cookie time of its last connection, so that a late copy of a
        # response cannot raise the dead. As long as cookies live, and bounded.
        self._ended: dict[Hashable, tuple[int, float]] = {}
        # Address -> its last connection, where this end ended that, the datagrams that say so, and
        # when they may be sent. A client may sleep for hours.
        self._dismissed: dict[Hashable, tuple[Connection, Sequence[bytes], float]] = {}

    @property
    def max_clients(self) -> int:
        """Connections at one time."""
        return self.admission.places

    def receive_handshake(
        self, data: bytes, address: Hashable, now: float, connection: Connection | None = None
    ) -> ListenerResult | None:
        """Take a datagram in which no connection found a packet; None when it meant nothing and was
        dropped.

        Args:
            data: The datagram.
            address: Where it came from, in any hashable form with a stable ``repr``.
            now: Seconds on a clock that never runs backwards.
            connection: The one that this address has.
        """
        if len(data) != _ASK_BYTES or data[0] not in (REQUEST, RESPONSE):
            return (
                self._unknown(data, address, now) if connection is None else self._drop("corrupt")
            )
        if not self._handshakes.take(1, now):
            return self._drop("shed")
        if data[0] == REQUEST:
            return self._requested(data, address, now)
        return self._responded(data, address, connection, now)

    def silent(self, connections: Collection[Connection], now: float) -> list[Connection]:
        """Return the connections that time out; to be called with all that there are, some times a
        second.

        Silence counts only while this end was listening: after a stall of the server
        the datagrams that wait in its socket get their turn before anybody is given up.
        """
        self.stalled = 0.0
        if self._checked is not None and now - self._checked > _STALL:
            self.stalled = now - self._checked - _STALL
            for connection in connections:
                connection.heard = min(now, connection.heard + self.stalled)
        self._checked = now
        for address in list(self._ended):
            if now < self._ended[address][1]:
                break
            del self._ended[address]
        self.admission.sweep(now)
        return [
            connection
            for connection in connections
            if now - connection.heard
            > (self.timeout if connection.confirmed else min(self.timeout, _UNCONFIRMED_TIMEOUT))
        ]

    def opened(self, connection: Connection, now: float) -> None:
        """Note a connection that was made without this listener's handshake."""
        self._dismissed.pop(connection.address, None)
        self.admission.opened(connection.address, connection, now)

    def ended(
        self,
        connection: Connection,
        now: float,
        *,
        abusive: bool = False,
        last_words: Sequence[bytes] = (),
    ) -> None:
        """Close a connection, and remember that it was here.

        Args:
            connection: The connection.
            now: Seconds.
            abusive: Whether its client is to be kept out for a while.
            last_words: Datagrams that tell its client, the one that says the most first. It gets
                one of them when it goes on talking: it may have slept. None of them where the
                client ended the connection itself.
        """
        connection.closed = True
        address = connection.address
        self.admission.closed(address, now, abusive=abusive)
        self._ended.pop(address, None)
        self._ended[address] = (connection._issued, now + _COOKIE_LIFE_MS / 1000)
        if len(self._ended) > _ENDED:
            del self._ended[next(iter(self._ended))]
        self._dismissed.pop(address, None)
        if last_words:
            self._dismissed[address] = connection, last_words, now + _LAST_WORDS_AFTER
            if len(self._dismissed) > _DISMISSED:
                del self._dismissed[next(iter(self._dismissed))]

    def _unknown(self, data: bytes, address: Hashable, now: float) -> ListenerResult | None:
        """Drop what belongs to no connection; tell who talks to one that has ended.

        A client that slept for longer than the timeout may have missed the goodbye. Like every
        answer, it is not longer than the question: a forged address is sent no more than was sent
        in its name.
        """
        dismissed = self._dismissed.get(address)
        if dismissed is None or not dismissed[0].owns(data):
            return self._drop("unknown")
        _, last_words, not_before = dismissed
        self.dropped["ended"] += 1
        if now < not_before:
            return None
        for words in last_words:
            if len(words) <= len(data):
                return ListenerResult([words])
        return None

    def _requested(self, data: bytes, address: Hashable, now: float) -> ListenerResult | None:
        nonce = data[7 : 7 + _NONCE]
        if data[1:5] != MAGIC or crc32(data, _handshake_seed(nonce)) != _SOUND:
            return self._drop("corrupt")
        if int.from_bytes(data[5:7], "little") != CONNECTION_VERSION:
            return ListenerResult([self._refuse(nonce, Reason.VERSION)])
        issued = (_milliseconds(now) & 0xFFFFFFFF).to_bytes(4, "little")
        challenge = bytes([CHALLENGE]) + nonce + issued + self._cookie(address, nonce, issued)
        return ListenerResult([_finish(challenge, _handshake_seed(nonce))])

    def _responded(
        self, data: bytes, address: Hashable, old: Connection | None, now: float
    ) -> ListenerResult | None:
        nonce, stamp, cookie = data[1:9], data[9:13], data[13:29]
        if crc32(data, _handshake_seed(nonce)) != _SOUND:
            return self._drop("corrupt")
        clock = _milliseconds(now)
        issued = unwrap(int.from_bytes(stamp, "little"), 32, clock)
        # Not for a millisecond longer: until then `_ended` knows what it made.
        if not 0 <= clock - issued < _COOKIE_LIFE_MS:
            return self._drop("expired")
        if cookie != self._cookie(address, nonce, stamp):
            return self._drop("forged")
        if old is not None:
            if old._nonce == nonce:
                if not old.confirmed:
                    old.heard = now
                return ListenerResult([_accept(nonce, old.session_id)])
            if issued <= old._issued:
                return self._drop("outdated")
        elif address in self._ended and issued <= self._ended[address][0]:
            return self._drop("outdated")
        denial = self.admission.deny(address, now, again=old is not None)
        if denial is Denial.HALF_OPEN:
            return self._drop("half-open")  # asked again, it may be answered
        if denial is not None:
            reason = _REASON_OF[denial]
            return ListenerResult([self._refuse(nonce, reason)], refused=reason)
        if old is not None:
            self.ended(old, now)
        new = Connection(
            address, self._random(_SESSION_ID), now, server=True, nonce=nonce, issued=issued
        )
        self.opened(new, now)
        return ListenerResult([_accept(nonce, new.session_id)], new)

    def _cookie(self, address: Hashable, nonce: bytes, issued: bytes) -> bytes:
        text = issued + nonce + repr(address).encode("utf-8", "backslashreplace")
        return blake2b(text, digest_size=_COOKIE, key=self._secret).digest()

    def _refuse(self, nonce: bytes, reason: Reason) -> bytes:
        body = bytes([REFUSE]) + nonce + bytes([code_of(reason)])
        version = CONNECTION_VERSION.to_bytes(2, "little")
        return _finish(body + version, _handshake_seed(nonce))

    def _drop(self, cause: str) -> ListenerResult | None:
        self.dropped[cause] += 1
        return None


def _itself(address: Hashable) -> Hashable:
    return address


def _milliseconds(now: float) -> int:
    return int(now * 1000)


def _accept(nonce: bytes, session_id: bytes) -> bytes:
    return _finish(bytes([ACCEPT]) + nonce + session_id, _handshake_seed(nonce))


class ClientHandshake:
    """The client's end of the handshake: asks until it is accepted or refused.

    Send what ``poll`` returns, hand in what arrives, until ``connection`` or ``refused``
    is there; then the connection takes over.

    Args:
        nonce: 8 random bytes, fresh for every attempt.
        now: Seconds on a clock that never runs backwards.
        timeout: Seconds after which it gives up with UNREACHABLE.

    Attributes:
        connection: The connection once the server has accepted.
        refused: Why not, once that is known.
        answered: Whether there is a server, though it may let nobody in.
    """

    def __init__(self, nonce: bytes, now: float, *, timeout: float = 5.0) -> None:
        if len(nonce) != _NONCE:
            raise ValueError(f"nonce has {len(nonce)} bytes, expected {_NONCE}")
        self.connection: Connection | None = None
        self.refused: Reason | None = None
        self.answered = False
        self._nonce = nonce
        self._seed = _handshake_seed(nonce)
        self._left = timeout
        self._polled = now
        self._next = now
        self._asked = 0
        version = CONNECTION_VERSION.to_bytes(2, "little")
        self._request = self._pad(bytes([REQUEST]) + MAGIC + version + nonce)
        self._response: bytes | None = None

    @property
    def done(self) -> bool:
        """True if the handshake has come to an end, good or bad."""
        return self.connection is not None or self.refused is not None

    def receive_answer(self, data: bytes, now: float) -> bool:
        """Take a datagram; return whether it was an answer to this attempt."""
        if self.done or data[1 : 1 + _NONCE] != self._nonce or crc32(data, self._seed) != _SOUND:
            return False
        kind = data[0]
        if kind == CHALLENGE and len(data) == _CHALLENGE_BYTES:
            self.answered = True
            self._response = self._pad(bytes([RESPONSE]) + data[1:-4])
            self._asked = 0
            self._next = now
        elif kind == ACCEPT and len(data) == _ACCEPT_BYTES:
            self.connection = Connection(None, data[1 + _NONCE : -4], now, server=False)
        elif kind == REFUSE and len(data) == _REFUSE_BYTES:
            self.refused = reason_of(data[1 + _NONCE])
        else:
            return False
        return True

    def poll(self, now: float) -> list[bytes]:
        """Return the datagrams that are due: a question each fifth of a second."""
        self._left -= min(now - self._polled, _STALL)
        self._polled = now
        if self.done:
            return []
        if self._left <= 0:
            self.refused = Reason.UNREACHABLE
            return []
        if now < self._next:
            return []
        self._next = now + _RETRY
        self._asked += 1
        # A server that restarted does not know its cookie any more: ask anew after a while.
        if self._asked > 8:
            self._response = None
        return [self._response or self._request]

    def _pad(self, body: bytes) -> bytes:
        return _finish(body.ljust(_ASK_BYTES - 4, b"\0"), self._seed)
