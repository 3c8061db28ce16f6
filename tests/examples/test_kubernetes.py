"""`examples/kubernetes` with a real kubectl against a small API server of the tests' own."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.examples.example import adopt, deploy, logs
from tests.examples.kubernetes import Cluster, serving
from tests.processes import seen_in_processes
from tests.scenarios.house import House
from tests.tls import make_certificate

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]


class Front(ThreadingHTTPServer):
    """What users reach: it answers with the version of the image that runs."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(("127.0.0.1", 0), _Version)
        self.cluster = cluster


class _Version(BaseHTTPRequestHandler):
    server: Front

    def do_GET(self) -> None:
        body = self.server.cluster.running.rpartition(":")[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@dataclass
class Site:
    """A cluster and the dg that deploys to it."""

    house: House
    cluster: Cluster


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    certificate = make_certificate(tmp_path)
    house = House(tmp_path)
    token = f"sa-{secrets.token_hex(12)}"
    house.home.make()
    house.home.secrets.touch(mode=0o600)
    house.home.secrets.write_text(f'[production]\nkube_token = "{token}"\n')
    cluster = Cluster(*certificate, token)
    with serving(cluster), Front(cluster) as front:
        thread = threading.Thread(target=front.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            house.start()
            address = f"http://127.0.0.1:{front.server_port}"
            adopt(house, "kubernetes", server=cluster.url, ca=str(certificate[0]), url=address)
            yield Site(house, cluster)
        finally:
            house.close()
            front.shutdown()
            thread.join()


def test_an_image_is_rolled_out_and_one_that_gets_stuck_is_rolled_back(site: Site) -> None:
    house, cluster = site.house, site.cluster
    seen: list[set[str]] = []
    cluster.during = lambda: seen.append(seen_in_processes(cluster.token))
    first = house.repository.commit("First")
    deployed = deploy(house)
    said = logs(house, deployed["id"])
    assert deployed["status"] == "success", said
    assert cluster.running == f"registry.acme.dev/web:{first}"
    assert 'deployment "web" successfully rolled out' in said

    second = house.repository.commit("Second")
    cluster.broken.add(f"registry.acme.dev/web:{second}")
    failed = deploy(house)
    assert failed["status"] == "rolled_back"
    assert "exceeded its progress deadline" in logs(house, failed["id"])
    assert cluster.image == f"registry.acme.dev/web:{first}"
    images = [patch["spec"]["template"]["spec"]["containers"][0]["image"] for patch in cluster.patches]
    assert [image.rpartition(":")[2] for image in images] == [first, second, first]
    assert cluster.refused == []
    assert "environ of kubectl" in set().union(*seen)
    assert not [where for where in set().union(*seen) if where.startswith("cmdline")]
    assert cluster.token not in said


def test_a_token_that_the_cluster_does_not_know_fails_the_step_and_changes_nothing(site: Site) -> None:
    site.cluster.token = "another"
    failed = deploy(site.house)
    assert (failed["status"], failed["reason"]) == ("failed", "step_failed")
    assert site.cluster.patches == []
    assert site.cluster.refused
