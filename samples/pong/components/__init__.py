from .ball import Ball
from .paddle import Paddle

__all__ = ["Ball", "Paddle"]
