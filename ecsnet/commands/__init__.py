"""The commands of players, on the way from a client's `send` to a server's tick.

Two kinds travel together. A *held* command is a state: the client repeats it in each of its ticks,
and a server tick sees at most one per player, type and target. An *action* happened once and is
delivered once, in order.

On the wire a packet carries every command that is not acked yet, oldest first, as *frames*:
``[gap, count, commands]``. Behind a gap of so many ticks, a frame covers ``count`` ticks. Its held
commands replace those of the frame before and stand until they are replaced in turn; its actions
belong to its first tick. A frame of no ticks carries actions of the tick before it. The first frame
of a packet lists everything that is held. Frames are numbered, ``count`` numbers each and one for
a frame of no ticks, so the server knows each one it has had. As only acked frames are left out,
and always the oldest, nothing can be missing between what the server has and the first frame of
a packet.

A client that draws others behind the newest tick says with a frame what was drawn when its player
acted: ``[gap, count, commands, behind]``, in sixteenths of a tick before the tick that the commands
are for. In a frame of many ticks that is the same distance for each of them.

Everything is counted once: a held command once for each client tick that it was held in, an action
once. When all is quiet, ``sent == applied + expired + superseded``. Commands for entities that are
gone or not the player's own are among the applied ones; they are counted again, as rejected, and so
is each reference in a command to an entity that its sender cannot see.

`outbox` is the client's end, `inbox` the server's, `frames` what goes between them.
"""
