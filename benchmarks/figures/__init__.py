"""The figures: each module measures one promise of `docs/benchmarks.md` and yields rows of the table."""
