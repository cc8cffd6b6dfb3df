"""The destination of a shipper's documents, and the two ways in which it fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ecsnet.analytics.values import Document

__all__ = ["Refused", "Sink", "Unavailable"]


class Sink(Protocol):
    """A store of documents, by their ``_id``.

    To write a document that is there already is no failure: a shipper that does not know whether a
    batch arrived sends it again.
    """

    async def write(self, collection: str, documents: Sequence[Document]) -> None:
        """Store documents, in any order. When it returns they are there to stay.

        Args:
            collection: Where to.
            documents: What; when there are none, whether the store answers at all.

        Raises:
            Unavailable: They may be there or not: write all of them again, later.
            Refused: At least one of them cannot be taken; others may be there.
        """

    async def aclose(self) -> None:
        """Let go of the store."""


class Unavailable(Exception):  # noqa: N818 - the state of a store, not a mistake
    """The store takes nothing now.

    Args:
        reason: Why, in a few words, without anything secret.
        cut: Whether the connection was lost while it held the documents. Then they may themselves
            be what the store cannot stand.
    """

    def __init__(self, reason: str, *, cut: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cut = cut


class Refused(Exception):  # noqa: N818 - likewise
    """The store answers, and does not take these documents.

    Args:
        reason: Why, in a few words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
