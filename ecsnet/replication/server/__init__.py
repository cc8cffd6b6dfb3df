"""The server's half of replication: what changed, who sees it, and what goes into which packet."""
