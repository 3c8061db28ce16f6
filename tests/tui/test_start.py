"""What stands between `dg tui` and its first picture."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tests.client.sessions import URL, tokens

from dg.client.credentials import SessionFile
from dg.core.access import keyform

UNWANTED = {"pydantic", "httpx", "sqlalchemy", "dg.settings", "dg.client.app", "dg.tui.feed"}
UNTIL_READY = f"""
import pathlib, sys
from dg.cli.main import run
from dg.tui.app import Dashboard

def ready(self):
    pathlib.Path(sys.argv[1]).write_text(str(sorted({UNWANTED} & set(sys.modules))))
    self.exit()

Dashboard.on_ready = ready
run(["tui"])
"""


@pytest.mark.parametrize("credential", ["token", "key", "session"])
def test_a_first_picture_waits_for_nothing_that_speaks_to_a_server(credential: str, tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path)}
    environ = {"HOME": str(tmp_path), "TERM": "xterm-256color", "DG_URL": URL, **state}
    if credential == "session":
        session = SessionFile.of(URL, state)
        assert session is not None
        session.write(tokens(1), now=0)
    else:
        environ["DG_TOKEN"] = "to.ken" if credential == "token" else keyform.make(None, bytes)
    controller, end = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", UNTIL_READY, str(tmp_path / "found")],
            stdin=end, stdout=end, stderr=subprocess.PIPE, env=environ, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(end)
        os.close(controller)
    assert (tmp_path / "found").read_text() == "[]", done.stderr
