"""dg deploys, guards and rolls back."""

__version__ = "0.1.0"
