"""Measurements of the whole of dg against floors: `python -m benchmarks [name ...]`; `docs/benchmarks.md`."""
