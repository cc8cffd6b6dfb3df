"""Games to start from, one folder each: ``python -m ecsnet.samples.NAME``."""

from __future__ import annotations

if __name__ != "ecsnet.samples":  # a second name would make two of every class in here
    raise ImportError("import ecsnet.samples, not samples")
