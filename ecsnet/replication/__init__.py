"""Replication, sans I/O: change detection, visibility, packing on the server; applying on the
client. A `Replicator` turns a world into packets, a `Store` and a `ViewWorld` turn these into one.
"""
