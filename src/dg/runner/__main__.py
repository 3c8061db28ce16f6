"""Entry of the detached process: `python -I -S -B .../__main__.py RUN_DIR EPOCH`; the server starts it.

With `--abilities [CGROUP]` it prints what this machine lets a runner do, see `abilities`.
"""

from __future__ import annotations

import os
import sys


def _main() -> int:
    # -I leaves the package's own folder out of the path; last place, so that it can shadow nothing.
    sys.path.append(os.path.abspath(__file__ + "/../../.."))
    if sys.argv[1:2] == ["--abilities"]:
        from dg.runner import abilities

        return abilities.main(sys.argv[2:])
    from dg.runner.run import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(_main())
