"""The process around a game: logging, signals, imports by name, child interpreters."""
