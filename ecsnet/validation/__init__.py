"""What games and peers give, looked at where it comes in, and how messages name it."""
