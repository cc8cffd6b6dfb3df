"""The requests of those who want to join, and the game's own answer to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ecsnet.errors import UsageError
from ecsnet.session.goodbye import GOODBYE_TEXT, Reason
from ecsnet.transport.address import Address
from ecsnet.validation.arguments import is_text, name_of
from ecsnet.validation.text import clean_text
from ecsnet.validation.wording import brief
from ecsnet.world import World

__all__ = ["JoinRequest", "refusal"]


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """Somebody who wants to join, as ``@server.on_request`` hooks are told.

    Attributes:
        name: What the player wants to be called; where that is taken, a number will be added.
        address: Where the client is: host and port, and two more numbers for IPv6; the host is
            ``"in process"`` for the player of `ecsnet.play` who hosts the game.
        data: What the client sent along, an instance of a class under ``@net.command``; None for
            nothing. References to entities in it are None.
    """

    name: str
    address: Address
    data: object = None


def refusal(
    hooks: Iterable[Callable[[JoinRequest], object]],
    request: JoinRequest,
    failed: Callable[[str, Exception], None],
) -> tuple[Reason, str] | None:
    """Ask a game whether somebody may come in.

    Its hooks run in an empty esper world of their own, so that none of the game's is current.

    Args:
        hooks: Called one after the other, until one refuses.
        request: What they are told.
        failed: Called with the name of a hook, and what it raised.

    Returns:
        Why not, and the text for the player; None where nobody minds.
    """
    world = World()
    try:
        for hook in hooks:
            with world:
                try:
                    text = _answer(hook, request)
                except Exception as error:  # noqa: BLE001 - hooks may raise anything
                    failed(name_of(hook), error)
                    return Reason.ERROR, ""
            if text is not None:
                return Reason.DECLINED, clean_text(text, GOODBYE_TEXT)
        return None
    finally:
        world.close()


def _answer(hook: Callable[[JoinRequest], object], request: JoinRequest) -> str | None:
    answer = hook(request)
    if answer is None or is_text(answer):
        return answer
    raise UsageError(
        f"{name_of(hook)} returned {brief(answer)}: an on_request hook returns None to let somebody"
        " in, or a text, which refuses and is for the player"
    )
