from __future__ import annotations

from ecsnet.client.connection import End
from ecsnet.client.endings import disconnection, farewell, refusal
from ecsnet.session.goodbye import Reason


def test_a_refusal_says_the_most_that_is_known() -> None:
    assert refusal(End(Reason.FULL), None) == (Reason.FULL, "the server is full: try again later")
    assert refusal(End(Reason.UNREACHABLE, "no such name"), None)[1] == "no such name"
    differs = "the server has Tank, you have none"
    assert refusal(End(Reason.TIMEOUT, "nothing came"), differs) == (Reason.SCHEMA, differs)


def test_every_reason_has_a_sentence_of_some_kind() -> None:
    for reason in Reason:
        assert refusal(End(reason), None)[0] is reason
        assert len(refusal(End(reason), None)[1]) > 10
        assert disconnection(End(reason)).startswith(f"disconnected: {reason}")
        assert len(farewell(End(reason))) > 10


def test_a_player_is_told_what_the_game_said_or_else_a_sentence() -> None:
    assert farewell(End(Reason.KICKED, "three fouls")) == "three fouls"
    assert farewell(End(Reason.KICKED)) == "the server has thrown us out"
    assert farewell(End(Reason.LEFT)) == "the connection has ended: left"
    assert refusal(End(Reason.DECLINED, "members only"), None)[1] == "members only"


def test_an_end_that_explains_itself_needs_no_more_words() -> None:
    assert disconnection(End(Reason.OVERLOAD)) == "disconnected: overload"
    assert disconnection(End(Reason.OVERLOAD, "a lot")) == "disconnected: overload: a lot"
    assert disconnection(End(Reason.KICKED)).endswith(": kicked: the server has thrown us out")
