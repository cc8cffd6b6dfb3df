from .ball import BallSystem
from .steering import SteeringSystem

__all__ = ["BallSystem", "SteeringSystem"]
