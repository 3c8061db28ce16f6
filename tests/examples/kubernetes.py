"""A small Kubernetes API server with one deployment and its controller, for a real kubectl.

It knows as much as `kubectl set image` and `kubectl rollout status` ask for; it is no cluster.
"""

from __future__ import annotations

import copy
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

NAMESPACE = "web"
NAME = "web"
_COLLECTION = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_VERSION = {"major": "1", "minor": "32", "gitVersion": "v1.32.4", "platform": "linux/amd64"}
_VERBS = ["get", "list", "watch", "patch"]
_DISCOVERY: dict[str, dict[str, Any]] = {
    "/version": _VERSION,
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [
            {
                "name": "apps",
                "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
                "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"},
            }
        ],
    },
    "/apis/apps/v1": {
        "kind": "APIResourceList",
        "groupVersion": "apps/v1",
        "resources": [
            {
                "name": "deployments",
                "singularName": "deployment",
                "namespaced": True,
                "kind": "Deployment",
                "verbs": _VERBS,
                "shortNames": ["deploy"],
            }
        ],
    },
}


class Cluster(ThreadingHTTPServer):
    """Answers to `token` alone. `broken` are images whose pods never become ready; `during` is called in each
    allowed request, `patches` keeps what was changed."""

    daemon_threads = True

    def __init__(self, certificate: Path, key: Path, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.token = token
        self.broken: set[str] = set()
        self.during: Callable[[], None] = lambda: None
        self.patches: list[dict[str, Any]] = []
        self.refused: list[str | None] = []
        self.changed = threading.Condition()
        self.over = threading.Event()
        self.deployment = _deployment()
        self.running = "none"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"

    @property
    def image(self) -> str:
        """What the deployment is to run."""
        containers = self.deployment["spec"]["template"]["spec"]["containers"]
        return str(containers[0]["image"])

    def snapshot(self) -> dict[str, Any]:
        """The deployment as it is now."""
        with self.changed:
            return copy.deepcopy(self.deployment)

    def patch(self, patch: dict[str, Any]) -> dict[str, Any]:
        """Change the image as a strategic merge patch says."""
        with self.changed:
            self.patches.append(patch)
            self._update(lambda found: _merge(found, patch), spec=True)
            return copy.deepcopy(self.deployment)

    def control(self) -> None:
        """What the controller does after a change: it notices, then the pods are there or never will be."""
        with self.changed:
            generation = self.deployment["metadata"]["generation"]
            status = self.deployment["status"]
            if status["observedGeneration"] < generation:
                self._update(lambda found: found["status"].update(_rolling(generation)))
            elif status["updatedReplicas"] < 2 and self.image not in self.broken:
                self._update(lambda found: found["status"].update(_rolled(generation)))
                self.running = self.image
            elif self.image in self.broken:
                self._update(lambda found: found["status"].update(conditions=[_STUCK]))

    def _update(self, change: Callable[[dict[str, Any]], None], *, spec: bool = False) -> None:
        change(self.deployment)
        metadata = self.deployment["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        metadata["generation"] += spec
        self.changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no error of the server's."""


class _Handler(BaseHTTPRequestHandler):
    server: Cluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if not self._allowed():
            return
        if parts.path in _DISCOVERY:
            self._send(200, _DISCOVERY[parts.path])
        elif parts.path == f"{_COLLECTION}/{NAME}":
            self._send(200, self.server.snapshot())
        elif parts.path == _COLLECTION and "watch" in query:
            self._watch()
        elif parts.path == _COLLECTION:
            found = self.server.snapshot()
            version = {"resourceVersion": found["metadata"]["resourceVersion"]}
            self._send(
                200,
                {"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": version, "items": [found]},
            )
        else:
            self._fail(404, "NotFound", f"the server could not find {parts.path}")

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._allowed():
            return
        if urlsplit(self.path).path == f"{_COLLECTION}/{NAME}":
            self._send(200, self.server.patch(json.loads(body)))
        else:
            self._fail(404, "NotFound", "there is no such object")

    def _allowed(self) -> bool:
        shown = self.headers.get("Authorization")
        if shown != f"Bearer {self.server.token}":
            self.server.refused.append(shown)
            self._fail(401, "Unauthorized", "Unauthorized")
            return False
        self.server.during()
        return True

    def _watch(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with self.server.changed:
            seen = ""
            while not self.server.over.is_set():
                version = self.server.deployment["metadata"]["resourceVersion"]
                if version != seen:
                    seen = version
                    event = {"type": "MODIFIED", "object": self.server.deployment}
                    self.wfile.write(json.dumps(event).encode() + b"\n")
                    self.wfile.flush()
                self.server.changed.wait(1)

    def _fail(self, status: int, reason: str, message: str) -> None:
        failure = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        self._send(status, {**failure, "reason": reason, "message": message, "code": status})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


_STUCK = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": "its pods do not become ready",
}


def _rolling(generation: int) -> dict[str, Any]:
    return {"observedGeneration": generation, "updatedReplicas": 1, "availableReplicas": 2, "conditions": []}


def _rolled(generation: int) -> dict[str, Any]:
    return {"observedGeneration": generation, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def _deployment() -> dict[str, Any]:
    container = {"name": "web", "image": "registry.acme.dev/web:none"}
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "generation": 1, "resourceVersion": "100"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": NAME}},
            "template": {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [container]}},
        },
        "status": _rolled(1),
    }


def _merge(deployment: dict[str, Any], patch: dict[str, Any]) -> None:
    """The one strategic merge that `kubectl set image` asks for: containers are told apart by their names."""
    (changed,) = patch["spec"]["template"]["spec"]["containers"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert changed["name"] == container["name"]
    container["image"] = changed["image"]


@contextmanager
def serving(cluster: Cluster) -> Iterator[Cluster]:
    """Answer, and play the controller, until the block is left."""

    def control() -> None:
        while not cluster.over.wait(0.1):
            cluster.control()

    threads = [
        threading.Thread(target=cluster.serve_forever, args=(0.01,), daemon=True),
        threading.Thread(target=control, daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield cluster
    finally:
        cluster.over.set()
        cluster.shutdown()
        cluster.server_close()
        for thread in threads:
            thread.join()
