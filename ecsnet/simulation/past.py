"""Components that show a moment of the past, and the present behind them."""

from __future__ import annotations

from collections.abc import Sequence

from ecsnet.schema import ComponentType

__all__ = ["Past"]


class Past:
    """The components that a block of `ecsnet.rewind` has set to what its player saw.

    What a system writes to one of them meanwhile stays, field by field; all others hold what they
    held before once `leave` was called.
    """

    __slots__ = ("_shown",)

    def __init__(self) -> None:
        # The type, the component, what it holds in truth, and what it shows instead.
        self._shown: list[tuple[ComponentType, object, tuple[float, ...], tuple[float, ...]]] = []

    def show(self, kind: ComponentType, component: object, floats: Sequence[float]) -> None:
        """Let a component of the current world show floats that it held once."""
        true = kind.read_floats(component)
        kind.write_floats(component, floats)
        self._shown.append((kind, component, true, kind.read_floats(component)))

    def show_between(
        self,
        kind: ComponentType,
        component: object,
        one: Sequence[float],
        other: Sequence[float],
        fraction: float,
    ) -> None:
        """Let it show what lies between two of them, as `ComponentType.blend` has it."""
        true = kind.read_floats(component)
        kind.blend(component, one, other, fraction)
        self._shown.append((kind, component, true, kind.read_floats(component)))

    def leave(self) -> None:
        """Put the present back."""
        untouched: list[tuple[ComponentType, object, tuple[float, ...], tuple[float, ...]]] = []
        for each in self._shown:
            kind, component, true, shown = each
            found = kind.read_floats(component)
            if found == shown:
                kind.write_floats(component, true)
                untouched.append(each)
            else:
                kind.write_floats(
                    component,
                    [
                        before if now == seen else now
                        for before, seen, now in zip(true, shown, found, strict=True)
                    ],
                )
        self._shown = untouched

    def enter(self) -> None:
        """Show the past again after `leave`, but for what was written meanwhile."""
        self._shown = [
            (kind, component, kind.read_floats(component), shown)
            for kind, component, _, shown in self._shown
        ]
        for kind, component, _, shown in self._shown:
            kind.write_floats(component, shown)
