"""The floor of every request: a bare ASGI application that answers the same bytes, on dg's own server set-up.

Reads a JSON line `{body, content_type}` from standard input and prints its port.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from dg.api.server import listen
from dg.settings.server import Server


def echo(body: bytes, content_type: bytes) -> ASGIApp:
    """Answers every request alike."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def run(app: ASGIApp) -> None:
    async with listen(app, Server(port=0)) as listening:
        print(listening.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    spec = json.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(echo(spec["body"].encode("utf-8"), spec["content_type"].encode("ascii"))))
