"""The values that one client lacks, and since when: they are owed, or sent again and on their way.

A value is owed when the packet that carried it was lost, or when there was no room for it. Once it
is sent again it is on its way, and lacked until that packet has arrived; so is a lost value of
which a newer one was sent meanwhile. All components of an entity that are owed go together, so both
are kept by entity, lacked since the earliest tick.
"""

from __future__ import annotations

from collections.abc import Iterator


class Resend:
    """Lost values that the packets of one tick make up for.

    Attributes:
        nets: The entities, by their network ids.
        since: The earliest tick since which one of them was lacked when that was noted.
    """

    __slots__ = ("nets", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        self.nets: list[int] = []


class OwedValues:
    """The values that a client lacks. Its length is the number of entities of which some are owed.

    Attributes:
        resends: What is on its way to make up for others, by the tick of its packets.
    """

    __slots__ = ("_counts", "_entities", "_on_their_way", "resends")

    def __init__(self) -> None:
        # Network id to component bits, and the tick since which they are lacked; in the order in
        # which they came to be owed.
        self._entities: dict[int, tuple[int, int]] = {}
        self._counts: dict[int, int] = {}  # of these, by the tick since when
        # Network id to the tick whose packets carry what was lost, the tick since which that is
        # lacked until they arrive, and the component bits that they carry.
        self._on_their_way: dict[int, tuple[int, int, int]] = {}
        self.resends: dict[int, Resend] = {}

    def __len__(self) -> int:
        return len(self._entities)

    def bits(self, net: int) -> int:
        """Return the component bits that are owed of an entity."""
        owed = self._entities.get(net)
        return 0 if owed is None else owed[0]

    def owe(self, net: int, bits: int, tick: int) -> None:
        """Owe values of an entity: those of a tick were lost, or not sent. Its place in the order
        is that of what is owed of it already.
        """
        since = self.lacked_since(net, tick)
        owed = self._entities.get(net)
        if owed is not None:
            bits |= owed[0]
            since = min(since, owed[1])
            self._uncount(owed[1])
        self._entities[net] = bits, since
        self._counts[since] = self._counts.get(since, 0) + 1

    def lacked_since(self, net: int, tick: int) -> int:
        """Return since when an entity is lacked of which the values of a tick do not arrive."""
        on_its_way = self._on_their_way.get(net)
        # What an earlier packet made up for is there: losses are found out in order.
        if on_its_way is None or on_its_way[0] < tick:
            return tick
        return min(tick, on_its_way[1])

    def replace(self, net: int, bit: int, newest: int, tick: int) -> None:
        """Note that the value of a tick was lost, and a newer one sent.

        Args:
            net: The network id of the entity.
            bit: The component's bit.
            newest: The tick of the newest value.
            tick: The tick of the lost one.
        """
        since = self.lacked_since(net, tick)
        on_its_way = self._on_their_way.get(net)
        if on_its_way is not None and on_its_way[0] > tick:
            sent, _, bits = on_its_way
            if bit & bits or sent > newest:
                newest, bit = sent, bits
            elif sent == newest:
                bit |= bits
        self._send(net, bit, newest, since)

    def __iter__(self) -> Iterator[int]:
        """Go through the entities that are owed, the one that was owed first before all."""
        return iter(self._entities)

    def postpone(self, net: int) -> None:
        """Let an entity that is owed come last."""
        self._entities[net] = self._entities.pop(net)

    def drop(self, net: int) -> int:
        """Owe nothing of an entity any more; return the tick since which it was lacked."""
        since = self._entities.pop(net)[1]
        self._uncount(since)
        return since

    def resend(self, net: int, bits: int, tick: int, open_from: int) -> None:
        """Note that what is owed of an entity goes into the packets of a tick.

        Args:
            net: The network id of the entity.
            bits: The component bits of it that the client may see.
            tick: The tick.
            open_from: The earliest tick of whose packets it is not known whether they arrived.
        """
        since = self.drop(net)
        on_its_way = self._on_their_way.get(net)
        if on_its_way is not None and on_its_way[0] >= open_from:
            since = min(since, on_its_way[1])
        self._send(net, bits, tick, since)

    def settle(self, before: int) -> None:
        """Settle the ticks before this one: all their packets have arrived or are lost."""
        on_their_way = self._on_their_way
        for sent in [sent for sent in self.resends if sent < before]:
            for net in self.resends.pop(sent).nets:
                on_its_way = on_their_way.get(net)
                if on_its_way is not None and on_its_way[0] == sent:
                    del on_their_way[net]

    def unconfirmed_ticks(self, tick: int, whole: bool) -> int:
        """Count the ticks since the client last lacked nothing of this; 0 when it lacks nothing.

        Args:
            tick: The current tick.
            whole: Whether the packet that says so carries all values of ``tick``.
        """
        since = tick + 1
        if self._entities:
            since = min(self._counts)
        for sent, resend in self.resends.items():
            if not (whole and sent == tick):  # in the packet that says so
                since = min(since, resend.since)
        return tick + 1 - since

    def _send(self, net: int, bits: int, sent: int, since: int) -> None:
        self._on_their_way[net] = sent, since, bits
        resend = self.resends.get(sent)
        if resend is None:
            resend = self.resends[sent] = Resend(since)
        elif since < resend.since:
            resend.since = since
        resend.nets.append(net)

    def _uncount(self, since: int) -> None:
        left = self._counts[since] - 1
        if left:
            self._counts[since] = left
        else:
            del self._counts[since]
