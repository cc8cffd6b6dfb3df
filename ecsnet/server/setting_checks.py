"""The settings of a `ServerWorld`, checked when they are given: in its constructor, or later."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from math import inf
from typing import Final, Protocol

from ecsnet.analytics_options import Analytics
from ecsnet.errors import UsageError
from ecsnet.replication.server.interest import Everyone, Interest
from ecsnet.validation.arguments import check_seed, is_number, is_text, is_whole
from ecsnet.validation.wording import brief

__all__ = ["SETTINGS", "check_tick_rate"]


class ServerWorldSettings(Protocol):
    """A server, as far as one setting depends on another."""

    @property
    def tick_rate(self) -> float: ...

    max_clients: int


def check_tick_rate(rate: object) -> None:
    """Refuse an invalid tick rate.

    Raises:
        UsageError: It is no number from 1 to 1000.
    """
    if not (is_number(rate) and 1 <= rate <= 1000):
        raise UsageError(f"tick_rate={brief(rate)}: a number between 1 and 1000, ticks a second")


def _update_rate(server: ServerWorldSettings, rate: object) -> object:
    most = server.tick_rate
    if rate is not None and not (is_number(rate) and 0.2 <= rate <= most):
        raise UsageError(
            f"update_rate={brief(rate)}: a number between 0.2 and tick_rate={most!r}, a second"
        )
    return rate


def _command_rate(server: ServerWorldSettings, rate: object) -> object:
    most = server.tick_rate
    if rate is not None and not (is_number(rate) and 1 <= rate <= most):
        raise UsageError(
            f"command_rate={brief(rate)}: a number between 1 and tick_rate={most!r}, packets a"
            " second; leave it out for one with each tick"
        )
    return rate


def _max_clients(_: ServerWorldSettings, number: object) -> object:
    if not (is_whole(number) and 1 <= number <= 65_535):
        raise UsageError(f"max_clients={brief(number)}: a whole number between 1 and 65535")
    return number


def _per_address(server: ServerWorldSettings, number: object) -> object:
    if number is not None and not (is_whole(number) and number >= 1):
        raise UsageError(
            f"per_address={brief(number)}: a whole number from 1 on, how many of the"
            f" {server.max_clients} places one address may take"
        )
    return number


def _interest(_: ServerWorldSettings, interest: object) -> object:
    if interest is None or isinstance(interest, Interest):
        return interest
    advice = "give net.Everyone(), net.Grid(...) or net.Visible(...)"
    if isinstance(interest, type) and issubclass(interest, Interest):
        inside = "" if interest is Everyone else "..."
        advice = f"make one, net.{interest.__name__}({inside})"
    elif callable(interest):
        advice = "a function of player and entity goes into net.Visible(...)"
    raise UsageError(f"interest={brief(interest)}: {advice}")


def _seed(_: ServerWorldSettings, seed: object) -> object:
    check_seed("seed", seed)
    return seed


def _rewind(_: ServerWorldSettings, seconds: object) -> object:
    if not (is_number(seconds) and 0 <= seconds <= 1):
        raise UsageError(
            f"rewind={brief(seconds)}: a number between 0 and 1, the most seconds by which"
            " net.rewind() looks back"
        )
    return seconds


def _above_0(name: str) -> Callable[[ServerWorldSettings, object], object]:
    def check(_: ServerWorldSettings, value: object) -> object:
        if not (is_number(value) and 0 < value <= inf):
            raise UsageError(f"{name}={brief(value)}: give a number above 0")
        return value

    return check


def _analytics(_: ServerWorldSettings, given: object) -> object:
    if given is None or isinstance(given, Analytics):
        return given
    if is_text(given) or isinstance(given, os.PathLike):
        return Analytics(given)
    raise UsageError(f"analytics={brief(given)}: a folder, or net.Analytics(...)")


SETTINGS: Final[Mapping[str, Callable[[ServerWorldSettings, object], object]]] = {
    "update_rate": _update_rate,
    "command_rate": _command_rate,
    "max_clients": _max_clients,
    "per_address": _per_address,
    "interest": _interest,
    "seed": _seed,
    "timeout": _above_0("timeout"),
    "bandwidth": _above_0("bandwidth"),
    "rewind": _rewind,
    "analytics": _analytics,
}
"""For each attribute: what looks at a value, and returns what is kept."""
