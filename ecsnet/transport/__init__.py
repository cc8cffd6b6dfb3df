"""The input and output of the machine: sockets, name look-up, ticks. Nothing decides here.

What carries datagrams keeps the contract in `ecsnet.transport.contract`.
"""
