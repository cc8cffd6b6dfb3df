from .beam import Beam
from .bullet import Bullet
from .heading import Heading
from .score import Score
from .ship import Ship

__all__ = ["Beam", "Bullet", "Heading", "Score", "Ship"]
