"""The checks of arguments where callers give them, with messages that say what to write instead.

What would only fail when it is used, far from the line that is wrong, is refused on that line.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from math import inf
from typing import TypeGuard

from ecsnet.errors import UsageError
from ecsnet.validation.wording import brief

__all__ = [
    "MOST_TICKS",
    "check_call",
    "check_flag",
    "check_function",
    "check_instance",
    "check_items",
    "check_number",
    "check_seed",
    "check_text",
    "check_whole",
    "is_number",
    "is_text",
    "is_whole",
    "name_of",
    "refuse_later",
    "takes",
    "takes_named",
]

MOST_TICKS = 10**9
"""The most ticks that one call runs: half a year of a game's time."""

_GREATEST = sys.float_info.max


def is_number(value: object) -> TypeGuard[float]:
    """Tell an int or a float that can be calculated with: not the float that is no number, nor an
    int beyond all floats.
    """
    return is_whole(value) or (isinstance(value, float) and _lies_within(value, inf))


def is_whole(value: object) -> TypeGuard[int]:
    """Tell an int that can be calculated with, see `is_number`, and is no bool."""
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return _lies_within(value, _GREATEST)


def is_text(value: object) -> TypeGuard[str]:
    """Tell a str that can be compared with others and looked up."""
    try:
        hash(value)
        bool(value)
        return isinstance(value, str) and bool(value == value)
    except Exception:  # noqa: BLE001 - of a class of the caller's
        return False


def check_number(what: str, value: object, least: float, most: float, advice: str) -> None:
    """Refuse what is no number from ``least`` to ``most``.

    Args:
        what: What it is called: ``"run(seconds"``; a bracket that it opens is closed.
        value: What was given.
        least: The least that may be.
        most: The most that may be.
        advice: What to give.

    Raises:
        UsageError: It is none.
    """
    if not (is_number(value) and least <= value <= most):
        raise _refusal(what, value, advice)


def check_whole(what: str, value: object, least: float, advice: str, most: float = inf) -> None:
    """Refuse what is no whole number from ``least`` on; see `check_number`."""
    if not (is_whole(value) and least <= value <= most):
        raise _refusal(what, value, advice)


def check_seed(what: str, value: object) -> None:
    """Refuse what is neither a whole number nor None; see `check_number`."""
    if not (value is None or is_whole(value)):
        raise _refusal(what, value, "give a whole number, or None")


def check_flag(what: str, value: object) -> None:
    """Refuse what is neither True nor False; see `check_number`."""
    if not isinstance(value, bool):
        raise _refusal(what, value, "give True or False")


def check_instance(what: str, value: object, kind: type | tuple[type, ...], advice: str) -> None:
    """Refuse what is of another type; see `check_number`."""
    if not isinstance(value, kind):
        raise _refusal(what, value, advice)


def check_text(what: str, value: object, advice: str) -> None:
    """Refuse what is no text; see `check_number`."""
    if not is_text(value):
        raise _refusal(what, value, advice)


def check_function(what: str, value: object, parameters: str, *, optional: bool = False) -> None:
    """Refuse what cannot be called with some arguments, or would run nothing.

    Args:
        what: As for `check_number`.
        value: What was given.
        parameters: What it has to take: ``"entity: int, component: Tank"``.
        optional: Whether it may be left out; None is let pass then.

    Raises:
        UsageError: It is no such function.
    """
    if optional and value is None:
        return
    if not callable(value):
        raise _refusal(what, value, f"give a function{', or leave it out' * optional}")
    check_call(_closed(what), value, name_of(value), parameters)


def check_items(what: str, value: object, advice: str) -> None:
    """Refuse what cannot be gone through, and a text, which is one thing; see `check_number`."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _refusal(what, value, advice)


_LATER = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


def takes(function: Callable[..., object], *arguments: object) -> bool:
    """Return whether something can be called with so many arguments, as far as it tells."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built in, and does not tell
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def takes_named(function: Callable[..., object], name: str) -> bool:
    """Return whether something has a parameter of that name, as far as it tells."""
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # built in, and does not tell
        return False


def refuse_later(where: str, function: Callable[..., object], name: str, parameters: str) -> None:
    """Refuse a function of which a call runs nothing; see `check_call`."""
    called = getattr(function, "__call__", function)  # noqa: B004 - an object's method
    if any(later(function) or later(called) for later in _LATER):
        raise UsageError(
            f"{where} got {name}, which is async or has a yield: a call would run none of it;"
            f" write a plain def {name.rpartition('.')[2]}({parameters})"
        )


def check_call(
    where: str,
    function: Callable[..., object],
    name: str,
    parameters: str,
    *,
    unbound: bool = False,
) -> None:
    """Refuse what would fail when it is called, or do nothing.

    Args:
        where: What it was given to: ``"@server.on_join"``.
        function: What will be called.
        name: What it is called.
        parameters: Those that it is to have: ``"player: int"``.
        unbound: Whether it is a method that has no ``self`` yet.

    Raises:
        UsageError: It takes something else, or calling it would run none of it.
    """
    refuse_later(where, function, name, parameters)
    given = [part.partition(":")[0] for part in parameters.split(", ") if part not in ("", "self")]
    if not takes(function, *given, *(["self"] if unbound else [])):
        short = name.rpartition(".")[2]
        called = ", ".join(given)
        write = f"lambda {called}: ..." if short == "<lambda>" else f"def {short}({parameters})"
        raise UsageError(
            f"{where} got {name}{_parameters(function)}, but calls it as"
            f" {short}({called}): write {write}"
        )


def _lies_within(number: float, most: float) -> bool:
    """Return whether comparisons work, and tell that a number is no further from 0 than that."""
    try:
        return bool(number == number and -most <= number <= most)
    except Exception:  # noqa: BLE001 - of a class of the caller's
        return False


def name_of(function: Callable[..., object]) -> str:
    """Return the name of a system or hook in logs and errors."""
    return getattr(function, "__qualname__", type(function).__qualname__)


def _parameters(function: Callable[..., object]) -> str:
    """Return the names of what a function takes: ``(self, dt)``."""
    signature = inspect.signature(function)
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def _refusal(what: str, value: object, advice: str) -> UsageError:
    closing = ")" if "(" in what else ""
    return UsageError(f"{what}={brief(value)}{closing}: {advice}")


def _closed(what: str) -> str:
    return f"{what})" if "(" in what else what
