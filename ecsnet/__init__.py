"""ecsnet: real-time multiplayer for esper games.

Declare components with `replicated`, what players do with `command` and what happens with `event`,
write ordinary esper systems, run them with a `ServerWorld`, show them with a `ClientWorld`, or do
both with `play`.
"""

from __future__ import annotations

from ecsnet.runtime.signals import Importing

with Importing():
    from ecsnet.analytics_options import Analytics
    from ecsnet.calls import entity_of, rpc
    from ecsnet.client.lobby import ClientLobby, PlayerInLobby
    from ecsnet.client.stats import ClientStats
    from ecsnet.client.world import ClientWorld
    from ecsnet.errors import (
        AddressInUseError,
        BadMessageError,
        BadValueError,
        DeclarationError,
        DisconnectedError,
        EcsnetError,
        OutsideTickError,
        PeerError,
        ReadOnlyError,
        RefusedError,
        SchemaMismatchError,
        UsageError,
        WorldError,
        WrongThreadError,
    )
    from ecsnet.notifications import (
        Changed,
        Connected,
        Despawned,
        Disconnected,
        Inserted,
        Refused,
        Removed,
        Spawned,
    )
    from ecsnet.play import play
    from ecsnet.replication.server.interest import Everyone, Grid, Interest, Visible
    from ecsnet.schema import (
        Between,
        EntityRef,
        MaxLen,
        Quantized,
        Suspect,
        Turn,
        command,
        event,
        register_type,
        replicated,
    )
    from ecsnet.server.world import ServerWorld
    from ecsnet.simulation.emission import Emission
    from ecsnet.simulation.events import emit
    from ecsnet.simulation.game_events import analytics_event, teleported
    from ecsnet.simulation.join_request import JoinRequest
    from ecsnet.simulation.kick import kick
    from ecsnet.simulation.lobby import Lobby
    from ecsnet.simulation.match import end_match, start_match
    from ecsnet.simulation.rewind import rewind
    from ecsnet.simulation.rng import rng
    from ecsnet.simulation.simulation import KEEP, commands, tick
    from ecsnet.simulation.spec import Game
    from ecsnet.transport.conditioner import Link
    from ecsnet.validation.text import clean_text
    from ecsnet.world import World

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - by subject
    # Declaring
    "Between",
    "EntityRef",
    "MaxLen",
    "Quantized",
    "Suspect",
    "Turn",
    "command",
    "event",
    "register_type",
    "replicated",
    "rpc",
    # The server's side
    "KEEP",
    "Analytics",
    "Emission",
    "Everyone",
    "Grid",
    "Interest",
    "JoinRequest",
    "Lobby",
    "ServerWorld",
    "Visible",
    "analytics_event",
    "clean_text",
    "commands",
    "emit",
    "end_match",
    "entity_of",
    "kick",
    "rng",
    "rewind",
    "start_match",
    "teleported",
    "tick",
    # The client's side
    "ClientLobby",
    "ClientStats",
    "ClientWorld",
    "Game",
    "Link",
    "PlayerInLobby",
    "World",
    "play",
    # What happened
    "Changed",
    "Connected",
    "Despawned",
    "Disconnected",
    "Inserted",
    "Refused",
    "Removed",
    "Spawned",
    # What went wrong
    "AddressInUseError",
    "BadMessageError",
    "BadValueError",
    "DeclarationError",
    "DisconnectedError",
    "EcsnetError",
    "OutsideTickError",
    "PeerError",
    "ReadOnlyError",
    "RefusedError",
    "SchemaMismatchError",
    "UsageError",
    "WorldError",
    "WrongThreadError",
    # The version of the package
    "__version__",
]
