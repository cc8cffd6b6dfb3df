"""A server loads nothing that it does not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import sys
import ecsnet.server

loaded = {name for name in sys.modules if name.startswith("ecsnet.")}
assert "ecsnet.server.host" in loaded, loaded
for package in ("analytics", "systems", "samples", "demo", "cli", "testing"):
    found = sorted(name for name in loaded if name.split(".")[1] == package)
    assert not found, found
"""

ONE_WITH_ANALYTICS = """
import sys
import tempfile
import ecsnet as net

host = net.ServerWorld(analytics=tempfile.mkdtemp()).make_host(lambda data, address: None, 0.0)
assert "ecsnet.analytics.capture" in sys.modules
assert "ecsnet.systems" not in sys.modules
(source,) = host.sources
(room,) = host.rooms
assert len(room.observers) == 1
host.tick(0.0)
host.close("shutdown", 1.0)
"""


@pytest.mark.parametrize("program", [CHILD, ONE_WITH_ANALYTICS])
def test_a_server_loads_neither_analytics_nor_stock_systems(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
