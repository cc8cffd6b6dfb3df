"""Test for changes that the game made to the view's world since we looked at it last."""

from __future__ import annotations

from ecsnet.world import World

__all__ = ["WorldStamp"]


class _Nothing:
    """No entity has one: esper's list of them is another one after every change of structure."""


class WorldStamp:
    """The structure of an esper world as it was when we looked at it last.

    Args:
        world: The world.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._identity: object = None
        self._structure: object = None

    def renew(self) -> None:
        """Take the structure, as it is now, for known."""
        self._identity = self._world.identity()
        self._structure = self._world.structure(_Nothing)

    def clear(self) -> None:
        """Know nothing, as before the first `renew`."""
        self._identity = self._structure = None

    @property
    def same_world(self) -> bool:
        """True if entities are still those that we know: nobody cleared the database."""
        return self._identity is None or self._world.identity() is self._identity

    @property
    def undisturbed(self) -> bool:
        """True if nothing came or went since `renew`."""
        return self.same_world and self._world.structure(_Nothing) is self._structure
