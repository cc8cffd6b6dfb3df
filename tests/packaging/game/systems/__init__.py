from .driving import DrivingSystem

__all__ = ["DrivingSystem"]
