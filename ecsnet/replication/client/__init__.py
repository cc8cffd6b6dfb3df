"""The client's half of replication: what the server last said, and the world that shows it."""
