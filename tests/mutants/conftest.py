"""The modules in this folder import each other, as `run.py` does when it is run as a command."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
