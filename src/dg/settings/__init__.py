"""The one frozen tree of settings, which the process root loads once and hands down."""

from __future__ import annotations

from dg.settings.loader import Loaded, SettingsError, load
from dg.settings.tree import Settings

__all__ = ["Loaded", "Settings", "SettingsError", "load"]
