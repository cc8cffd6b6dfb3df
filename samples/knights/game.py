import esper

import ecsnet as net

NAMES = ("Olaf", "Hilda", "Ragnar", "Sigrid", "Bjorn", "Astrid")


@net.replicated
class Barbarian:
    name: str = ""
    health: int = 60


@net.replicated
class Knight:
    health: int = 100
    gold: int = 0

    @net.rpc("server")  # clients call these two, for a knight of their own
    def attack(self, barbarian: net.EntityRef) -> None:
        foe = None
        if barbarian is not None:  # it is when somebody else was faster
            foe = esper.try_component(barbarian, Barbarian)
        if not foe or not foe.health or not self.health:
            return
        damage = min(net.rng().randint(10, 25), foe.health)
        foe.health -= damage
        if foe.health:
            self.health = max(0, self.health - net.rng().randint(4, 12))
            self.hit(foe.name, damage)
        else:
            gold = net.rng().randint(5, 20)
            self.gold += gold
            self.won(foe.name, gold)

    @net.rpc("server")
    def attack_random(self) -> None:
        camp = [entity for entity, foe in esper.get_component(Barbarian) if foe.health]
        if camp:
            self.attack(net.rng().choice(camp))  # on the server this is a method like any other

    @net.rpc("owner")  # the server calls these two, and only the knight's player reads them
    def hit(self, name: str, damage: int) -> None:
        print(f"You hit {name} for {damage}")

    @net.rpc("owner")
    def won(self, name: str, gold: int) -> None:
        print(f"{name} falls: {gold} gold for you")


server = net.ServerWorld(tick_rate=20)


@server.on_join
def join(player: int) -> None:
    esper.add_component(player, Knight())


@server.system
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
