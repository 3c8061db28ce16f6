"""The console script, also `python -m dg`."""

from __future__ import annotations

import sys

from dg import __version__


def main() -> None:
    """Answer `--version` at once; everything else is for the command line proper."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"dg {__version__}\n")
        return
    from dg.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
