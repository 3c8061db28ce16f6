"""A small web shop: answers its catalogue as JSON on the port that PORT names."""

import json
import os
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
RELEASE = HERE / "release.json"

catalogue = json.loads((HERE / "catalogue.json").read_text("utf-8"))
release = json.loads(RELEASE.read_text("utf-8")) if RELEASE.exists() else {"version": "unreleased"}


def price(cents):
    return f"{cents / 100:.2f} EUR"


def shown(product):
    """A product as customers see it."""
    return {"id": product["id"], "name": product["name"], "price": price(product["cents"])}


def answer(path):
    """Status and body for one request."""
    if path == "/health":
        return 200, {"status": "ok", **release}
    if path == "/products":
        return 200, [shown(product) for product in catalogue]
    return 404, {"error": f"nothing at {path}"}


class Handler(BaseHTTPRequestHandler):
    server_version = f"shop/{release['version']}"

    def do_GET(self):
        try:
            status, body = answer(self.path)
        except Exception:
            traceback.print_exc()
            status, body = 500, {"error": "something went wrong here; it is in our log"}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
