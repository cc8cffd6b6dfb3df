from .beams import BeamSystem
from .bullets import BulletSystem
from .hits import HitSystem
from .steering import SteeringSystem
from .walls import WallSystem

__all__ = ["BeamSystem", "BulletSystem", "HitSystem", "SteeringSystem", "WallSystem"]
