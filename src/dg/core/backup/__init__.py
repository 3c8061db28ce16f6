"""Backups of a home, or of one environment in it: made, verified, tried and restored."""
