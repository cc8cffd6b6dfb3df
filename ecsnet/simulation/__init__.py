"""One running world: what it is made from, its ticks, who observes it. No socket, no clock."""
