"""The peers of a server: who connects, what is new of them, and how they end."""

from __future__ import annotations

import random

import pytest

from ecsnet.connection.plain import ClientHandshake, Connection, Listener
from ecsnet.peer import Peer
from ecsnet.peers import Abusive, Ended, News, Opened, Peers, PeerStats, UpdateSender
from ecsnet.session.goodbye import Goodbye, Reason, code_of
from ecsnet.session.packets import RAW
from ecsnet.session.session import Received
from ecsnet.transport.address import Address

ANN, BOB = ("10.0.0.1", 1), ("10.0.0.2", 2)
SESSION_ID = b"session?"
Raw = object


class Client:
    """A client's connection and session; what it is sent waits in `mail`."""

    def __init__(self, server: Server, address: Address) -> None:
        self.server = server
        self.address = address
        self.mail: list[bytes] = []
        self.peer = Peer(RAW)
        self.connection: Connection | None = None
        server.clients[address] = self

    def handshake(self) -> None:
        """Go so far that the server has answered."""
        handshake = ClientHandshake(self.server.dice.randbytes(8), self.server.now)
        for _ in range(2):
            for datagram in handshake.poll(self.server.now):
                self.server.receive(datagram, self.address)
            while self.mail:
                handshake.receive_answer(self.mail.pop(0), self.server.now)
        assert handshake.done
        self.connection = handshake.connection
        if self.connection is not None:
            self.peer.relink(self.connection, self.address, self.say)

    def say(self, datagram: bytes, _server: Address = BOB) -> None:
        self.server.receive(datagram, self.address)

    def packet(self, payload: object) -> bytes:
        assert self.connection is not None
        return self.connection.seal(self.peer.pack(payload, self.server.now)[-1])

    def listen(self) -> list[Received[Raw]]:
        """Take in what was sent to it."""
        heard = []
        while self.mail:
            assert self.connection is not None
            packet = self.connection.open(self.mail.pop(0), self.server.now)
            received = None if packet is None else self.peer.receive_packet(packet, self.server.now)
            if received is not None:
                heard.append(received)
        return heard  # type: ignore[return-value]


class Server:
    """Peers, and the news of them."""

    def __init__(self, places: int = 8, **limits: float) -> None:
        self.dice = random.Random(7)
        self.now = 100.0
        self.clients: dict[Address, Client] = {}
        self.news: list[tuple[Peer[Raw], News[Raw]]] = []
        self.refused: list[tuple[Address, Reason]] = []
        self.bytes_sent = 0
        self.peers: Peers[Raw] = Peers(
            Listener(bytes(32), lambda _: SESSION_ID, places, timeout=5.0),
            self.send,
            lambda: Peer(RAW, **limits),  # type: ignore[arg-type, return-value]
            lambda address, reason, _: self.refused.append((address, reason)),
        )

    def send(self, datagram: bytes, address: Address) -> None:
        self.bytes_sent += len(datagram)
        if address in self.clients:
            self.clients[address].mail.append(datagram)

    def receive(self, *one: object) -> None:
        self.news += self.peers.receive_datagrams([one], self.now)  # type: ignore[list-item]

    def join(self, address: Address) -> tuple[Client, Peer[Raw]]:
        client = Client(self, address)
        client.handshake()
        peer, opened = self.news.pop()
        assert isinstance(opened, Opened)
        assert self.peers.by_address[address] is peer
        return client, peer

    def take_news(self) -> list[News[Raw]]:
        news, self.news = [each for _, each in self.news], []
        return news


def test_who_connects_and_talks_in_one_batch_is_news_in_order() -> None:
    server = Server()
    ann = Client(server, ANN)
    handshake = ClientHandshake(bytes(8), server.now)
    server.receive(handshake.poll(server.now)[0], ANN)
    handshake.receive_answer(ann.mail.pop(), server.now)
    (response,) = handshake.poll(server.now)
    ann.connection = Connection(None, SESSION_ID, server.now, server=False)
    hello = ann.packet("hello")
    news = server.peers.receive_datagrams(
        [(response, ANN), (b"noise", BOB), (hello, ANN)], server.now
    )
    (peer, opened), (same, received) = news
    assert peer is same
    assert isinstance(opened, Opened)
    assert isinstance(received, Received)
    assert bytes(received.payload) == b"\xa5hello"  # type: ignore[arg-type]


def test_a_goodbye_ends_the_session_and_what_comes_after_it_is_a_strangers() -> None:
    server = Server()
    ann, peer = server.join(ANN)
    ann.peer.send_goodbye(Reason.LEFT, "", server.now)
    assert server.news == [(peer, Ended(Reason.LEFT))]
    assert not server.peers.by_address
    # Four more of its goodbyes came: nobody answers one who left.
    assert ann.mail == []
    ann.say(ann.packet("am I still there?"))
    assert len(server.news) == 1


def test_who_is_disconnected_is_told_why_though_it_sleeps() -> None:
    server = Server()
    ann, peer = server.join(ANN)
    server.peers.disconnect(peer, Reason.KICKED, "no cheating" + "!" * 300, server.now)
    assert not server.peers.by_address
    assert len(ann.mail) == 5
    assert ann.connection is not None
    packet = ann.connection.open(ann.mail[0], server.now)
    assert packet is not None
    assert packet.endswith(("no cheating" + "!" * 300)[:200].encode())
    ann.mail.clear()  # all of them get lost
    server.now += 3600
    question = ann.packet("good morning")
    ann.say(question)
    (answer,) = ann.mail
    assert len(answer) <= len(question)
    assert ann.listen() == []
    assert ann.peer.goodbye == Goodbye(code_of(Reason.KICKED))
    assert server.take_news() == []
    # It is told once, and only once is there something to end.
    server.peers.disconnect(peer, Reason.KICKED, "", server.now)
    assert ann.mail == []


def test_last_words_are_never_longer_than_what_they_answer() -> None:
    server = Server()
    ann, peer = server.join(ANN)
    server.peers.disconnect(peer, Reason.KICKED, "no cheating", server.now)
    ann.mail.clear()
    server.now += 2.0
    ann.packet(None)  # holds a ping
    for length, answered in ((0, 0), (5, 0), (6, 1), (7, 2)):
        question = ann.packet("x" * length)
        assert len(question) == 10 + length
        ann.say(question)
        assert len(ann.mail) == answered
    assert [len(answer) for answer in ann.mail] == [16, 16]


def test_last_words_have_the_text_where_the_question_is_as_long() -> None:
    server = Server()
    ann, peer = server.join(ANN)
    server.peers.disconnect(peer, Reason.DECLINED, "no cheating", server.now)
    ann.mail.clear()
    server.now += 2.0
    ann.packet(None)  # holds a ping
    for length, text in ((16, ""), (17, "no cheating"), (300, "no cheating")):
        question = ann.packet("x" * length)
        ann.say(question)
        assert len(ann.mail[0]) <= len(question)
        ann.peer.session.goodbye = None
        assert ann.listen() == []
        assert ann.peer.goodbye == Goodbye(code_of(Reason.DECLINED), text)


def test_last_words_do_not_overtake_the_goodbyes() -> None:
    server = Server()
    ann, peer = server.join(ANN)
    server.peers.disconnect(peer, Reason.KICKED, "no cheating", server.now)
    ann.mail.clear()
    for _ in range(9):
        server.now += 0.1
        ann.say(ann.packet("x" * 50))
    assert ann.mail == []
    server.now += 0.2
    ann.say(ann.packet("x" * 50))
    assert len(ann.mail) == 1


def test_the_first_goodbye_counts_and_the_others_do_nothing() -> None:
    server = Server()
    ann, peer = server.join(ANN)
    server.peers.disconnect(peer, Reason.SHUTDOWN, "", server.now)
    assert ann.listen() == []
    assert ann.peer.goodbye is not None
    assert ann.peer.goodbye.reason is Reason.SHUTDOWN
    assert ann.peer.session.budget.strikes == 0


def test_the_silent_are_given_up_and_told() -> None:
    server = Server()
    (ann, quiet), (bob, _) = server.join(ANN), server.join(BOB)
    gone: list[Peer[Raw]] = []
    for _ in range(80):
        server.now += 0.1
        bob.say(bob.packet(None))
        gone += server.peers.give_up_silent(server.now)
    assert gone == [quiet]
    assert list(server.peers.by_address) == [BOB]
    ann.listen()
    assert ann.peer.goodbye is not None
    assert ann.peer.goodbye.reason is Reason.TIMEOUT


def test_who_comes_anew_from_the_same_address_takes_its_own_place() -> None:
    server = Server(places=1)
    _, old = server.join(ANN)
    server.now += 1
    again = Client(server, ANN)
    again.handshake()
    (first, ended), (second, opened) = server.news
    assert (first, ended) == (old, Ended(Reason.REPLACED))
    assert isinstance(opened, Opened)
    assert list(server.peers.by_address.values()) == [second]


def test_who_is_turned_away_is_told_of() -> None:
    server = Server(places=1)
    server.join(ANN)
    Client(server, BOB).handshake()
    assert server.refused == [(BOB, Reason.FULL)]
    assert server.take_news() == []


def test_a_source_that_nobody_can_answer_has_no_answer() -> None:
    server = Server()
    nobody = Client(server, ("10.0.0.9", 0))
    asked = ClientHandshake(bytes(8), server.now).poll(server.now)[0]
    server.receive(asked, nobody.address)
    assert nobody.mail == []
    server.receive(asked, ANN)
    assert server.peers.stats().bytes_sent > 0


def test_abuse_is_news_as_long_as_nobody_does_anything_about_it() -> None:
    server = Server()
    ann, peer = server.join(ANN)
    assert ann.connection is not None
    for _ in range(6):
        ann.say(ann.connection.seal(b"\xc1"))
    assert [type(each) for each in server.take_news()] == [Abusive, Abusive]
    server.peers.disconnect(peer, Reason.ABUSE, "", server.now)
    server.now += 1
    Client(server, ANN).handshake()
    assert server.refused == [(ANN, Reason.ABUSE)]


def test_a_session_goes_on_over_another_connection() -> None:
    server = Server()
    ann, peer = server.join(ANN)
    ann.say(ann.packet("one"))
    peer.queue(b"a message")
    before = server.peers.stats()
    there = Connection(BOB, b"session!", server.now, server=True)
    server.peers.relink(peer, there, server.now)
    assert server.peers.by_address == {BOB: peer}
    old = ann.packet("from the old address")
    ann.say(old)
    server.clients[BOB] = ann
    ann.address = BOB
    ann.connection = Connection(None, b"session!", server.now, server=False)
    ann.say(ann.packet("two"))
    (_, one), (same, two) = server.news
    assert same is peer
    assert isinstance(one, Received)
    assert isinstance(two, Received)
    assert two.number == one.number + 2  # what came from the old address is lost
    sender = UpdateSender(server.now)
    sender.send(peer, "welcome back", 5)
    sender.flush()
    (received,) = ann.listen()
    assert [data for _, data in received.messages] == [b"a message"]
    assert server.peers.stats().packets_sent == before.packets_sent + 1


def test_counts_stay_when_peers_go() -> None:
    server = Server()
    for number in range(5):
        ann, peer = server.join(("10.0.0.1", 100 + number))
        ann.say(ann.packet("hello"))
        peer.send("hello", server.now)
        server.peers.disconnect(peer, Reason.KICKED, "", server.now)
    stats = server.peers.stats()
    assert stats.packets_received == 5
    assert stats.packets_sent == 5 * (1 + 5)  # the update, the goodbyes
    sent = sum(len(datagram) for each in server.clients.values() for datagram in each.mail)
    assert stats.bytes_sent > sent > 0


def test_counts_are_those_of_all_who_were_ever_there_and_of_handshakes() -> None:
    server = Server()
    assert server.peers.stats() == PeerStats(0, 0, 0)
    ann, peer = server.join(ANN)
    ann.say(ann.packet("hello"))
    peer.send("hello", server.now)
    server.now += 1
    Client(server, ANN).handshake()  # it comes anew
    bob, _ = server.join(BOB)
    bob.say(bob.packet("hello"))
    bob.peer.send_goodbye(Reason.LEFT, "", server.now)
    assert server.peers.stats() == PeerStats(1, 2, server.bytes_sent)


def test_who_left_may_come_again_at_once() -> None:
    server = Server(places=1)
    ann, _ = server.join(ANN)
    ann.peer.send_goodbye(Reason.LEFT, "", server.now)
    server.take_news()
    server.now += 1
    Client(server, ANN).handshake()
    assert [type(each) for each in server.take_news()] == [Opened]
    assert server.refused == []


def test_a_session_that_goes_on_over_another_connection_has_one_place() -> None:
    server = Server(places=1)
    _, peer = server.join(ANN)
    there = Connection(BOB, b"session!", server.now, server=True)
    server.peers.relink(peer, there, server.now)
    carol = ("10.0.0.3", 3)
    Client(server, carol).handshake()
    assert server.refused == [(carol, Reason.FULL)]
    server.peers.disconnect(peer, Reason.KICKED, "", server.now)
    server.now += 1
    server.join(carol)
    assert len(server.refused) == 1


@pytest.mark.parametrize("count", [1, 16, 17, 40])
def test_updates_reach_everybody_with_messages_or_without(count: int) -> None:
    server = Server(places=64)
    joined = [server.join((f"10.1.{number}.1", 1)) for number in range(count)]
    for number, (_, peer) in enumerate(joined):
        if number % 3 == 0:
            peer.queue(b"%d" % number)
    sender = UpdateSender(server.now)
    for number, (_, peer) in enumerate(joined):
        sender.send(peer, number, 7 + number)
    sender.flush()
    for number, (client, peer) in enumerate(joined):
        (received,) = client.listen()
        assert int.from_bytes(bytes(received.payload)[-1:], "big") == number  # type: ignore[arg-type]
        expected = [b"%d" % number] if number % 3 == 0 else []
        assert [message for _, message in received.messages] == expected
        assert peer.tagged.oldest_tag == 7 + number


def test_one_batch_is_what_many_are() -> None:
    """However datagrams are cut into batches, the same news come of them."""
    kinds: list[list[str]] = []
    for size in (1, 2, 7, 1000):
        server = Server()
        clients = [server.join((f"10.0.0.{n}", n))[0] for n in range(1, 4)]
        dice = random.Random(3)
        datagrams: list[tuple[bytes, Address]] = []
        for step in range(120):
            client = dice.choice(clients)
            data = client.packet(step)
            if dice.random() < 0.2:
                data = data[:-1] + b"?"
            datagrams.append((data, client.address))
            if dice.random() < 0.2:
                datagrams.append(dice.choice(datagrams))
        assert clients[0].connection is not None
        goodbye = clients[0].peer.session.pack_goodbye(Reason.LEFT, "", server.now)
        datagrams.insert(60, (clients[0].connection.seal(goodbye), clients[0].address))
        for start in range(0, len(datagrams), size):
            batch = datagrams[start : start + size]
            server.news += server.peers.receive_datagrams(batch, server.now)
        kinds.append([type(each).__name__ for each in server.take_news()])
    assert kinds[0] == kinds[1] == kinds[2] == kinds[3]
    assert kinds[0].count("Ended") == 1
    assert kinds[0].count("Received") > 60
