"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A time limit per example measures the machine's other work, not the code.
settings.register_profile("dg", deadline=None)
settings.load_profile("dg")
