"""A child of the demo's: its server or one of its players, as the settings say."""

from __future__ import annotations

import sys

import msgspec

from ecsnet.cli.games import find_game
from ecsnet.demo.control import Settings, Wrong, claim_pipes, say
from ecsnet.demo.player import play
from ecsnet.demo.server import serve
from ecsnet.errors import UsageError

if __name__ == "__main__":
    claim_pipes()
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    try:
        run = (play if settings.name else serve)(settings, find_game(settings.game))
    except UsageError as error:
        say(Wrong(str(error)))
        sys.exit(2)
    run()
