"""The checks of values from games and peers where they come in, and their names in messages."""
