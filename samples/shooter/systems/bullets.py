import esper

import ecsnet as net
from ecsnet.components import Owner, Position

from ..aim import ahead, seen_by, trace
from ..commands import Steer
from ..components import Bullet, Heading, Ship
from ..field import BULLET_PAUSE, BULLET_SPEED, BULLET_TICKS, HEIGHT, SPREAD, WIDTH


class BulletSystem(esper.Processor):
    """Fires bullets and lets them fly; what has struck a ship waits for HitSystem."""

    def process(self, dt: float) -> None:
        held = dict(net.commands(Steer))
        for player, (ship, heading, at) in esper.get_components(Ship, Heading, Position):
            if player in held and held[player].fire and net.tick() >= ship.gun:
                ship.gun = net.tick() + BULLET_PAUSE
                self.fire(player, heading.angle, at)
        for entity, (bullet, at, owner) in esper.get_components(Bullet, Position, Owner):
            if bullet.victim is None and owner.player is not None:
                self.fly(entity, bullet, at, owner.player, BULLET_SPEED * dt)

    def fire(self, player: int, angle: float, at: Position) -> None:
        angle += net.rng(player).uniform(-SPREAD, SPREAD)  # chance that the client knows, too
        bullet = Bullet(angle, net.tick() + BULLET_TICKS)
        esper.create_entity(bullet, Position(at.x, at.y), Owner(player))

    def fly(self, entity: int, bullet: Bullet, at: Position, player: int, step: float) -> None:
        with seen_by(player):
            way, bullet.victim = trace(player, at, bullet.angle, step)
        if bullet.victim is None:
            dx, dy = ahead(bullet.angle, way)
            at.x, at.y = at.x + dx, at.y + dy
            gone = way < step or not (0 < at.x < WIDTH and 0 < at.y < HEIGHT)
            if gone or net.tick() >= bullet.end:
                esper.delete_entity(entity)
