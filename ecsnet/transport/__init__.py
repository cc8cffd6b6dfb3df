"""Where bytes meet the machine: sockets, name look-up, ticks. Thin, and nothing decides here.

What carries datagrams keeps the contract in `ecsnet.transport.contract`.
"""
