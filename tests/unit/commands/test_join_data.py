"""What a client sends along when it asks to join: made here, and taken with suspicion there."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from ecsnet.calls import rpc
from ecsnet.commands.join_data import JOIN_DATA_BYTES, JoinDataGate, encode_join_data
from ecsnet.errors import BadMessageError, UsageError
from ecsnet.schema import (
    EntityRef,
    MaxLen,
    Registry,
    command,
    command_type,
    encode,
    register_type,
    replicated,
    use_registry,
)


class Team:
    def __init__(self, name: str) -> None:
        if name not in ("red", "blue"):
            raise ValueError(name)
        self.name = name


with use_registry(Registry()) as registry:
    register_type(Team, Annotated[str, MaxLen(10)], lambda team: team.name, Team)

    @command(hold=True)
    class Ask:
        team: Team
        friend: EntityRef = None

    @replicated
    class Door:
        @rpc("server")
        def open(self, key: int) -> None:
            pass

    @command
    class Login:
        password: Annotated[str, MaxLen(5000)] = ""

    SCHEMA = registry.schema()

GATE = JoinDataGate(SCHEMA.commands)
LOGIN, ASK = SCHEMA.command_id_of[Login], SCHEMA.command_id_of[Ask]


def test_it_arrives_as_it_was() -> None:
    data = encode_join_data(SCHEMA, command_type(Login), Login("sesame"))
    assert GATE.decode(data) == Login("sesame")


def test_references_in_it_are_none() -> None:
    found = GATE.decode(encode_join_data(SCHEMA, command_type(Ask), Ask(Team("red"), friend=7)))
    assert isinstance(found, Ask)
    assert (found.team.name, found.friend) == ("red", None)
    forged = GATE.decode((ASK, msgspec.Raw(encode(["blue", 7]))))
    assert isinstance(forged, Ask)
    assert forged.friend is None


@pytest.mark.parametrize(
    "data",
    [
        (len(SCHEMA.commands), encode(["x"])),
        (2**16 - 1, encode(["x"])),
        (LOGIN, encode([5])),
        (LOGIN, encode(["x", "y"])),
        (LOGIN, encode(None)),
        (LOGIN, encode(["x" * (JOIN_DATA_BYTES + 1)])),
        (LOGIN, b"\xc1"),
        (LOGIN, b""),
        (ASK, encode(["green"])),  # the type's own converter refuses it
        (ASK, encode([])),
        (SCHEMA.command_id_of[Door.__ecsnet__.calls["open"].cls], encode([5])),  # it has no Door
    ],
)
def test_what_no_honest_client_sends_is_refused(data: tuple[int, bytes]) -> None:
    with pytest.raises(BadMessageError):
        GATE.decode((data[0], msgspec.Raw(data[1])))


def test_there_is_a_bound_to_it() -> None:
    most = "x" * (JOIN_DATA_BYTES - 4)
    assert GATE.decode(encode_join_data(SCHEMA, command_type(Login), Login(most))) == Login(most)
    with pytest.raises(UsageError) as caught:
        encode_join_data(SCHEMA, command_type(Login), Login(most + "x"))
    assert str(caught.value) == (
        "data of 2049 bytes encoded: at most 2048 fit into the request to join"
    )
