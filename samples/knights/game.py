import esper

import ecsnet as net

NAMES = ("Olaf", "Hilda", "Ragnar", "Sigrid", "Bjorn", "Astrid")


@net.replicated
class Knight:
    health: int = 100
    gold: int = 0


@net.replicated
class Barbarian:
    name: str = ""
    health: int = 60


@net.command
class Attack:
    barbarian: net.EntityRef = None


server = net.ServerWorld(tick_rate=20)


@server.on_join
def join(player: int) -> None:
    esper.add_component(player, Knight())


@server.system(priority=20)
def fight(dt: float) -> None:
    for player, attack in net.commands(Attack, Knight):
        knight = esper.component_for_entity(player, Knight)
        barbarian = None
        if attack.barbarian is not None:  # it is when somebody else was faster
            barbarian = esper.try_component(attack.barbarian, Barbarian)
        if not barbarian or not barbarian.health or not knight.health:
            continue
        barbarian.health = max(0, barbarian.health - net.rng().randint(10, 25))
        if barbarian.health:
            knight.health = max(0, knight.health - net.rng().randint(4, 12))
        else:
            knight.gold += net.rng().randint(5, 20)


@server.system(priority=10)
def camp(dt: float) -> None:
    for entity, barbarian in esper.get_component(Barbarian):
        if not barbarian.health:
            esper.delete_entity(entity)
    if net.tick() % 20 == 1:  # once a second knights rest, and another barbarian may come
        for _, knight in esper.get_component(Knight):
            knight.health = min(100, knight.health + 3)
        there = {barbarian.name for _, barbarian in esper.get_component(Barbarian)}
        if len(there) < 3:
            esper.create_entity(Barbarian(net.rng().choice([n for n in NAMES if n not in there])))
