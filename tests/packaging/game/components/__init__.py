from .tank import Drive, Fuel, Tank

__all__ = ["Drive", "Fuel", "Tank"]
