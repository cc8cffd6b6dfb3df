"""The picture of the demo's windows. The only module of ecsnet that needs pygame."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import pygame

from ecsnet.errors import UsageError

__all__ = ["make_room", "save_window", "side_by_side"]

_GAP = 16
_BAR = 30
_DESK, _FRAME, _TITLE = "#d6dae2", "#3a4252", "#f2f4f8"
_USUAL = 640, 480  # of a window; a demo opens them before it knows


def make_room(number: int) -> None:
    """Give this process's window a place beside the others, or a screen that nobody sees.

    Args:
        number: Of the player, from 0.
    """
    width, height = _USUAL
    x, y = 40 + (number % 2) * (width + _GAP), 60 + number // 2 * (height + 3 * _GAP)
    os.environ.setdefault("SDL_VIDEO_WINDOW_POS", f"{x},{y}")
    try:
        pygame.display.init()
    except pygame.error as error:
        sys.stderr.write(f"no window can be opened ({error}): playing without\n")
        os.environ["SDL_VIDEODRIVER"] = "dummy"


def save_window(path: str) -> str:
    """Save what this process's window shows.

    Returns:
        The window's caption; empty where the game gave it none.

    Raises:
        UsageError: There is no window of pygame's.
    """
    surface = pygame.display.get_surface() if pygame.display.get_init() else None
    if surface is None:
        raise UsageError("opens no window of pygame's: there is nothing to save a picture of")
    pygame.image.save(surface, path)
    caption = pygame.display.get_caption()[0]
    return "" if caption == "pygame window" else caption


def side_by_side(windows: Sequence[tuple[str, str]], path: str) -> None:
    """Make one picture of several windows.

    Args:
        windows: Title and picture file of each.
        path: Where to save it; the name's ending says how.
    """
    pygame.font.init()
    font = pygame.font.Font(None, 26)
    pictures = [pygame.image.load(file) for _, file in windows]
    width = sum(picture.get_width() + _GAP for picture in pictures) + _GAP
    height = max(picture.get_height() for picture in pictures) + _BAR + 2 * _GAP
    desk = pygame.Surface((width, height))
    desk.fill(_DESK)
    x = _GAP
    for picture, (title, _) in zip(pictures, windows, strict=True):
        around = pygame.Rect(x, _GAP, picture.get_width(), picture.get_height() + _BAR)
        pygame.draw.rect(desk, _FRAME, around.inflate(4, 4), border_radius=8)
        text = font.render(title, True, _TITLE)
        desk.blit(text, text.get_rect(center=(around.centerx, _GAP + _BAR // 2)))
        desk.blit(picture, (x, _GAP + _BAR))
        x += picture.get_width() + _GAP
    pygame.image.save(desk, path)
