"""The reliable messages of a session that are not replication's."""
