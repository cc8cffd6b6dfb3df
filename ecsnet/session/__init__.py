"""Sessions, sans I/O: connections, packet numbers and acks, reliable messages, limits.

Nothing here has a socket, a clock or a source of randomness: bytes, addresses and ``now``
come in as arguments; bytes to send and what happened come out.
"""
