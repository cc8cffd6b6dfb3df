"""The types that cross the wire: ``@replicated``, ``@command``, ``@event``, the registry, the gate.

Everything that other parts of ecsnet use is here; the modules below are private to the package.
"""

from __future__ import annotations

from ecsnet.schema.calls import SIDES, Call, Rpc, Side
from ecsnet.schema.codegen import Ref
from ecsnet.schema.contents import TOO_MANY, Contents
from ecsnet.schema.declare import command, event, replicated
from ecsnet.schema.description import DESCRIPTION_LIMIT, Schema
from ecsnet.schema.fields import Between, EntityRef, MaxLen, Quantized, Suspect, Turn
from ecsnet.schema.gate import DECODE_ERRORS, ENCODE_ERRORS, Gate, encode
from ecsnet.schema.kinds import PLAIN, Kind
from ecsnet.schema.registry import Registry, current_registry, register_type, use_registry
from ecsnet.schema.shapes import lasts
from ecsnet.schema.wiretype import (
    CommandType,
    ComponentType,
    EventType,
    Field,
    WireType,
    command_type,
    component_type,
    event_type,
    is_sent,
    unsent,
)

__all__ = [
    "DECODE_ERRORS",
    "DESCRIPTION_LIMIT",
    "ENCODE_ERRORS",
    "PLAIN",
    "SIDES",
    "TOO_MANY",
    "Between",
    "Call",
    "CommandType",
    "ComponentType",
    "Contents",
    "EntityRef",
    "EventType",
    "Field",
    "Gate",
    "Kind",
    "MaxLen",
    "Quantized",
    "Ref",
    "Registry",
    "Rpc",
    "Schema",
    "Side",
    "Suspect",
    "Turn",
    "WireType",
    "command",
    "command_type",
    "component_type",
    "current_registry",
    "encode",
    "event",
    "event_type",
    "is_sent",
    "lasts",
    "register_type",
    "replicated",
    "unsent",
    "use_registry",
]
