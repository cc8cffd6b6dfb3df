"""Which event loop a server runs on that makes its own."""

from __future__ import annotations

import sys

import pytest

from ecsnet.server.world import _new_event_loop

uvloop = pytest.importorskip("uvloop")


@pytest.mark.parametrize(("platform", "is_uvloop"), [("linux", True), ("win32", False)])
def test_it_is_uvloops_but_on_windows_where_there_is_none(
    platform: str, is_uvloop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    loop = _new_event_loop()
    try:
        assert isinstance(loop, uvloop.Loop) is is_uvloop
    finally:
        loop.close()
