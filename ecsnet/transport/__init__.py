"""Where bytes meet the machine: sockets, name look-up, ticks. Thin, and nothing decides here.

Server ends take and give ``(datagram, address)``, client ends datagrams; no error of the
network leaves them as an exception.
"""
