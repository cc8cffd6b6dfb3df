"""A child of the demo's: its server or one of its players, as the settings say."""

from __future__ import annotations

import sys

import msgspec

from ecsnet.demo.control import Settings, claim_stdout
from ecsnet.demo.player import play
from ecsnet.demo.server import serve

if __name__ == "__main__":
    claim_stdout()
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    (play if settings.name else serve)(settings)
