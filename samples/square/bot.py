"""Walks to and fro, for ``ecsnet demo square --headless``."""

import ecsnet as net

from .__main__ import Steer


def play(client: net.ClientWorld) -> None:
    client.send(Steer(1 if client.stats.tick // 60 % 2 else -1))
