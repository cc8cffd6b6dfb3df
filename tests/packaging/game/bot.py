"""A player without a window: drives until both tanks have moved, then says what it saw."""

import json
import sys
import time

import esper

import ecsnet as net
from components import Drive, Fuel, Tank
from ecsnet.components import Player, Position


def main(name: str, port: int) -> None:
    end = time.monotonic() + 30.0
    with net.ClientWorld.connect("127.0.0.1", port, name=name) as client:
        seen: dict[str, float] = {}
        while time.monotonic() < end and not (len(seen) == 2 and min(seen.values()) > 5.0):
            client.send(Drive(1))
            for event in client.poll():
                if isinstance(event, (net.Refused, net.Disconnected)):
                    sys.exit(f"{name}: {event}")
            for _, (player, tank, position) in esper.get_components(Player, Tank, Position):
                if tank.alive():
                    seen[player.name] = position.x
            time.sleep(0.01)
        fuels = len(esper.get_component(Fuel))
        # The other one has to see this tank move too.
        rest = time.monotonic() + 0.5
        while time.monotonic() < rest:
            client.send(Drive(1))
            client.poll()
            time.sleep(0.01)
    print(json.dumps({"moved": {n: x > 5.0 for n, x in seen.items()}, "fuels": fuels}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
