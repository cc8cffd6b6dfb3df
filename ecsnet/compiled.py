"""What a class tells the compiler; see ``hatch_build.py``. Without it, nothing comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_attributes):
        """Return a decorator that does nothing: compiled, it is gone."""
        return lambda cls: cls
