"""The exception tree."""

from __future__ import annotations

import pytest

from ecsnet import errors


def test_every_error_is_in_the_tree_and_in_its_drawing() -> None:
    assert errors.__doc__ is not None
    for name in errors.__all__:
        cls = getattr(errors, name)
        assert issubclass(cls, errors.EcsnetError)
        assert name in errors.__doc__
        assert cls.__doc__
    branches = (errors.EcsnetError, errors.UsageError, errors.PeerError)
    for name in errors.__all__:
        cls = getattr(errors, name)
        sides = [issubclass(cls, branch) for branch in branches[1:]]
        assert cls is errors.EcsnetError or sum(sides) == 1


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.RefusedError("full"), "the server refused the connection: full"),
        (
            errors.RefusedError("schema", "server has Tank.hp: int, you have float"),
            "the server refused the connection: server has Tank.hp: int, you have float",
        ),
        (errors.DisconnectedError("timeout"), "disconnected: timeout"),
        (errors.DisconnectedError("kicked", "three fouls"), "disconnected: kicked: three fouls"),
    ],
)
def test_errors_from_the_network_carry_their_reason(
    error: errors.RefusedError | errors.DisconnectedError, text: str
) -> None:
    assert str(error) == text
    assert error.reason in ("full", "schema", "timeout", "kicked")
    assert error.message in ("", text.rpartition("connection: ")[2], "three fouls")
