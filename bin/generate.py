"""Makes anew what is generated from the contracts and the settings; `bin/generate` starts it.

The types of the TypeScript SDK need npm. Everything else is made by dg itself.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from dg.api import contract
from dg.api.contract import Document
from dg.api.docs import actions, postman, reference, sdk
from dg.api.docs.joined import join
from dg.cli.config import reference_page

ROOT = Path(__file__).resolve().parents[1]
TYPESCRIPT = ROOT / "sdks/typescript"
TYPES = "sdks/typescript/src/schema.ts"

Documents = Mapping[str, Document]

MADE: Mapping[str, Callable[[Documents], str]] = {
    "docs/actions.md": actions.page,
    "docs/api.md": reference.page,
    "docs/settings.md": lambda documents: reference_page(),
    "sdks/postman/collection.json": postman.collection,
    "sdks/postman/environment.json": lambda documents: postman.environment(),
    "sdks/typescript/src/operations.ts": lambda documents: sdk.table(join(documents)),
}
"""What dg makes itself: each file with its maker, which is given the contracts by name."""


class CannotMake(Exception):
    """One sentence for the person who started this."""


def load() -> Documents:
    return {name: contract.load(name) for name in contract.NAMES}


def types(documents: Documents) -> str:
    """The SDK's types. Raises CannotMake without npm."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "openapi.json", Path(folder) / "schema.ts"
        source.write_text(json.dumps(sdk.types_source(join(documents))))
        # Without the last option, a field that has a default would have to be given.
        command = [generator(), str(source), "--output", str(made), "--default-non-nullable=false"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotMake(f"openapi-typescript failed: {done.stderr.strip()}")
        return made.read_text()


def generator() -> str:
    """The program from the SDK's lock, installed when it is not there yet."""
    program = TYPESCRIPT / "node_modules/.bin/openapi-typescript"
    if not program.exists():
        if shutil.which("npm") is None:
            raise CannotMake(f"{TYPES} needs npm, which was not found; all other files are made")
        subprocess.run(["npm", "ci", "--prefix", str(TYPESCRIPT)], check=True)
    return str(program)


def main(arguments: list[str]) -> int:
    if set(arguments) - {"--check"}:
        say("usage: bin/generate [--check]")
        return 2
    documents = load()
    stale = []
    try:
        for name, make in {**MADE, TYPES: types}.items():
            if update(ROOT / name, make(documents), keep="--check" in arguments):
                stale.append(name)
    except CannotMake as problem:
        say(str(problem))
        return 1
    for name in stale:
        say(f"{'stale' if '--check' in arguments else 'made anew'}: {name}")
    return 1 if stale and "--check" in arguments else 0


def update(file: Path, text: str, *, keep: bool) -> bool:
    """Whether `file` was something else; now it is `text`, unless it is kept."""
    if file.exists() and file.read_text("utf-8") == text:
        return False
    if not keep:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return True


def say(text: str) -> None:
    sys.stderr.write(f"generate: {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
