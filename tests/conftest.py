"""What all tests share: how hypothesis looks for counterexamples."""

from __future__ import annotations

from hypothesis import settings

# The suite says the same about the same code each time, however slow the machine is.
# ``pytest --hypothesis-profile=explore`` looks elsewhere each time.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile("suite")
