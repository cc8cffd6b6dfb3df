from typing import Annotated
import ecsnet as net, esper, pygame

COLOURS = "orange", "cyan", "violet", "yellow"

@net.replicated(interpolate=True)                # every client gets it; others glide
class Square:
    x: float = 0.0
    colour: str = "white"

@net.command(hold=True)                          # client to server: the state of a stick
class Steer:
    dx: Annotated[int, net.Between(-1, 1)] = 0

server = net.ServerWorld(tick_rate=60)

@server.on_join
def join(player: int) -> None:                   # a player is an entity; its number is unique
    esper.add_component(player, Square(player * 160 % 640, COLOURS[player % 4]))

@server.system(priority=10, shared=True)         # it also runs ahead, in the client that steers
def move(dt: float) -> None:                     # dt: the fixed step, in seconds
    for player, steer in net.commands(Steer):
        esper.component_for_entity(player, Square).x += steer.dx * 200 * dt

if __name__ == "__main__":
    screen, clock = pygame.display.set_mode((640, 480)), pygame.time.Clock()
    with net.play(server) as client:             # the first one hosts, the second joins
        role = "host" if server.host else "guest"
        while not client.closed and pygame.QUIT not in [e.type for e in pygame.event.get()]:
            keys = pygame.key.get_pressed()
            client.send(Steer(keys[pygame.K_RIGHT] - keys[pygame.K_LEFT]))
            client.poll()                        # never blocks
            screen.fill("black")
            for entity, square in esper.get_component(Square):
                pygame.draw.rect(screen, square.colour, (square.x, 240, 20, 20))
                if entity == client.player:      # entities of this window's own esper world
                    pygame.display.set_caption(f"{role}, {square.colour}")
            pygame.display.flip()
            clock.tick(60)
