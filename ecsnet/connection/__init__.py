"""Connections: handshakes that prove addresses, envelopes round packets, who may have how many."""
