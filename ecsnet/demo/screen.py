"""What of the demo is to be seen. The only module of ecsnet that needs pygame."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import pygame

from ecsnet.client import ClientWorld
from ecsnet.demo.samples import load_window

__all__ = ["Screen", "save_picture", "side_by_side"]

_GAP = 16
_BAR = 30
_DESK, _FRAME, _TITLE = "#d6dae2", "#3a4252", "#f2f4f8"


class Screen:
    """A player's window. A bot plays in it until somebody presses a key.

    Args:
        sample: Name of the sample.
        number: Of the player, from 0: windows stand side by side.
    """

    def __init__(self, sample: str, number: int) -> None:
        self._window = load_window(sample)
        width, height = self._window.SIZE
        x, y = 40 + (number % 2) * (width + _GAP), 60 + number // 2 * (height + 3 * _GAP)
        os.environ.setdefault("SDL_VIDEO_WINDOW_POS", f"{x},{y}")
        pygame.font.init()
        try:
            self._surface = pygame.display.set_mode(self._window.SIZE)
        except pygame.error as error:
            sys.stderr.write(f"no window can be opened ({error}): playing without\n")
            pygame.display.quit()
            os.environ["SDL_VIDEODRIVER"] = "dummy"
            self._surface = pygame.display.set_mode(self._window.SIZE)
        self.touched = False
        """Whether somebody is at the keyboard."""

    def steer(self, client: ClientWorld) -> None:
        """Send what the keys say."""
        self._window.steer(client)

    def show(self, client: ClientWorld, title: str) -> bool:
        """Draw a frame; False when somebody closed the window."""
        if not self.touched:
            # Left in the queue for `steer`, which otherwise takes what is not QUIT.
            self.touched = pygame.event.peek(pygame.KEYDOWN)
            if not self.touched:
                pygame.event.get(exclude=pygame.QUIT)
        self._window.draw(self._surface, client)
        pygame.display.set_caption(title)
        pygame.display.flip()
        return not pygame.event.get(pygame.QUIT)

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()


def save_picture(sample: str, client: ClientWorld, path: str) -> None:
    """Save what a player's window shows, or would show if there were one."""
    window = load_window(sample)
    pygame.font.init()
    surface = pygame.Surface(window.SIZE)
    window.draw(surface, client)
    pygame.image.save(surface, path)


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
