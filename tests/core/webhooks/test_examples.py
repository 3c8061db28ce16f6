"""The receivers' side as `docs/webhooks.md` shows it, run against real signatures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dg.core import signing

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/webhooks.md"
TSC = ROOT / "sdks/typescript/node_modules/.bin/tsc"
TYPES = ROOT / "sdks/typescript/node_modules/@types"
SECRET = "whsec_first"
BODY = '{"id":"1","type":"webhook.test","note":"Grüße ☃"}'.encode()


class Case(NamedTuple):
    """What a receiver is shown, and what it must think of it."""

    name: str
    body: bytes
    header: str
    genuine: bool


def cases() -> Iterator[Case]:
    now = int(time.time())
    good = signing.signature([SECRET], now, BODY)
    yield Case("signed", BODY, good, True)
    yield Case("two secrets", BODY, signing.signature(["whsec_new", SECRET], now, BODY), True)
    yield Case("another secret", BODY, signing.signature(["whsec_other"], now, BODY), False)
    yield Case("another body", BODY + b" ", good, False)
    yield Case("too old", BODY, signing.signature([SECRET], now - 3600, BODY), False)
    yield Case("from the future", BODY, signing.signature([SECRET], now + 3600, BODY), False)
    yield Case("another time", BODY, good.replace(f"t={now}", f"t={now + 1}"), False)
    yield Case("cut", BODY, good[:-2], False)
    for header in ("", "t=", "v1=", f"t={now}", f"t={now},v1=", "t=x,v1=y", ",,,", f"t={now},v1=ä", "=,="):
        yield Case(f"header {header}", BODY, header, False)


def example(language: str) -> str:
    """The one block of code in this language on the page."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(found)


def test_the_python_example_tells_what_is_genuine() -> None:
    known: dict[str, Any] = {}
    exec(compile(example("python"), str(PAGE), "exec"), known)  # noqa: S102 - it is the page's own
    found = {case.name: known["is_genuine"](case.body, case.header, SECRET) for case in cases()}
    assert found == {case.name: case.genuine for case in cases()}


@pytest.mark.skipif(
    not TSC.exists() or shutil.which("node") is None, reason="`npm ci --prefix sdks/typescript` was not run"
)
def test_the_typescript_example_tells_what_is_genuine(tmp_path: Path) -> None:
    (tmp_path / "receiver.mts").write_text(example("typescript"))
    options = ("--strict", "--target", "es2022", "--module", "nodenext", "--typeRoots", str(TYPES))
    subprocess.run([TSC, *options, "--types", "node", "receiver.mts"], cwd=tmp_path, check=True)
    asked = [[case.body.decode(), case.header] for case in cases()]
    script = (
        'import { isGenuine } from "./receiver.mjs";'
        f"const asked = {json.dumps(asked)};"
        "const found = asked.map(([body, header]) => "
        f'isGenuine(Buffer.from(body, "utf8"), header, "{SECRET}"));'
        "console.log(JSON.stringify(found));"
    )
    (tmp_path / "ask.mjs").write_text(script)
    done = subprocess.run(["node", "ask.mjs"], cwd=tmp_path, check=True, capture_output=True, text=True)
    found = dict(zip([case.name for case in cases()], json.loads(done.stdout), strict=True))
    assert found == {case.name: case.genuine for case in cases()}
