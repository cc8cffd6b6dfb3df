"""What a game says to those who want to join: the first hook that refuses has it."""

from __future__ import annotations

import esper
import pytest

from ecsnet.errors import OutsideTickError, UsageError
from ecsnet.session.goodbye import Reason
from ecsnet.simulation.join_request import JoinRequest, refusal
from ecsnet.simulation.simulation import tick
from ecsnet.world import World

ANN = JoinRequest("Ann", ("10.0.0.1", 4000))


class Failures:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Exception]] = []

    def __call__(self, name: str, error: Exception) -> None:
        self.seen.append((name.rpartition(".")[2], error))


def test_nobody_minds_where_no_hook_does() -> None:
    failures = Failures()
    assert refusal([], ANN, failures) is None
    assert refusal([lambda request: None, lambda request: None], ANN, failures) is None
    assert failures.seen == []


def test_the_first_refusal_wins_and_the_hooks_behind_it_are_not_asked() -> None:
    asked: list[object] = []
    hooks = [
        lambda request: asked.append(request) and None,
        lambda request: f"no, {request.name}",
        lambda request: asked.append("again") or "really not",  # type: ignore[func-returns-value]
    ]
    assert refusal(hooks, ANN, Failures()) == (Reason.DECLINED, "no, Ann")
    assert asked == [ANN]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("x" * 500, "x" * 200), ("two\nlines\u202e", "two lines"), ("\ud800", ""), ("", "")],
)
def test_the_text_is_one_that_can_be_shown(text: str, shown: str) -> None:
    assert refusal([lambda request: text], ANN, Failures()) == (Reason.DECLINED, shown)


def test_hooks_run_in_an_empty_world_that_goes_afterwards() -> None:
    worlds: list[str] = []

    def look(request: JoinRequest) -> None:
        worlds.append(esper.current_world)
        assert list(esper._entities) == []
        esper.create_entity(request)

    game = World()
    with game:
        esper.create_entity("something of the game's")
        before = esper.current_world
        assert refusal([look], ANN, Failures()) is None
        assert refusal([look], ANN, Failures()) is None
        assert esper.current_world == before
    assert before not in worlds
    assert not set(worlds) & set(esper.list_worlds())
    game.close()


def test_a_world_that_a_hook_leaves_switched_is_put_back() -> None:
    def switch(request: JoinRequest) -> None:
        esper.switch_world("elsewhere")

    before = esper.current_world
    seen: list[str] = []
    assert refusal([switch, lambda _: seen.append(esper.current_world)], ANN, Failures()) is None
    assert esper.current_world == before
    assert "elsewhere" not in seen
    esper.delete_world("elsewhere")


def test_what_a_hook_raises_refuses_and_is_told() -> None:
    def ask_the_clock(request: JoinRequest) -> str:
        return str(tick())

    failures = Failures()
    assert refusal([ask_the_clock], ANN, failures) == (Reason.ERROR, "")
    ((name, error),) = failures.seen
    assert name == "ask_the_clock"
    assert isinstance(error, OutsideTickError)


@pytest.mark.parametrize("answer", [True, False, 5, ["no"], b"no"])
def test_an_answer_that_is_none_is_told(answer: object) -> None:
    def judge(request: JoinRequest) -> object:
        return answer

    failures = Failures()
    assert refusal([judge], ANN, failures) == (Reason.ERROR, "")
    ((_, error),) = failures.seen
    assert isinstance(error, UsageError)
    assert str(error).endswith(
        f"judge returned {answer!r}: an on_request hook returns None to let somebody in, or a text,"
        " which refuses and is for the player"
    )


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ANN.name = "Bob"  # type: ignore[misc]
