"""A check step tells what really answers: over HTTP, TCP and by a command, for as long as it was asked."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.runner.lab import PATH, Lab, step

Answer = Callable[[socket.socket], None]


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Server:
    """A loopback server that gives each connection to `answer`, and keeps what it was sent."""

    def __init__(self, answer: Answer, listener: socket.socket) -> None:
        self._answer = answer
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[bytes] = []

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.requests.append(connection.recv(65536))
                self._answer(connection)
            except OSError:
                return


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(answer, listener)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def always(data: bytes) -> Answer:
    return lambda connection: connection.sendall(data)


def drip(connection: socket.socket) -> None:
    """Answers a byte at a time, for longer than anybody waits."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(10_000):
        connection.sendall(b"x")
        time.sleep(0.05)


def hang(connection: socket.socket) -> None:
    """Never answers; ends when nobody waits any more."""
    connection.recv(1)


def check(more: dict[str, Any] | None = None, **check: Any) -> dict[str, Any]:
    kind = {"check": {"every": 0.05, "timeout": 2.0, "for": 0, **check}}
    return step(**{"name": "smoke", "phase": "verify", "timeout": 30.0, **kind, **(more or {})})


# --- http


def test_good_answer_passes_at_once(lab: Lab) -> None:
    with serving(always(http(200, b"all is well"))) as server:
        run = lab.end(
            check(http=f"{server.url}/health?deep=1", contains="is well", headers={"X-Probe": "dg"})
        )
    assert run.wait()["outcome"] == "success"
    assert run.log().decode() == f"dg: GET {server.url}/health?deep=1 answered 200\n"
    assert len(server.requests) == 1
    assert server.requests[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\n")
    assert b"X-Probe: dg\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(500), "answered 500, not 200"),
        (http(302, b"", "Location: /"), "answered 302, not 200"),
        (http(200, b"broken"), "answered 200, but without the text 'well'"),
        (b"", "Remote end closed connection without response"),
        (b"SSH-2.0-x\x1b[2J\r\n", "SSH-2.0-x [2J"),
    ],
)
def test_bad_answer_fails_with_the_last_one_as_the_reason(lab: Lab, answer: bytes, why: str) -> None:
    with serving(always(answer)) as server:
        run = lab.start(check({"timeout": 0.5}, http=server.url, contains="well"))
        end = run.wait()
    assert (end["outcome"], end["reason"], end["step"]) == ("failed", "verify_failed", 0)
    assert "did not pass within 0.5 s: GET http://127.0.0.1" in end["detail"]
    assert end["detail"].endswith(why)
    assert len(server.requests) > 2
    assert run.log().decode().count(why) == 2  # the first of many equal attempts, and the step's own reason
    assert "\x1b" not in end["detail"]


def test_other_status_codes_can_be_wanted(lab: Lab) -> None:
    with serving(always(http(204))) as server:
        assert lab.start(check(http=server.url, status=[200, 204])).wait()["outcome"] == "success"


def test_nobody_there_is_said_plainly(lab: Lab) -> None:
    with serving(always(b"")) as server:
        port = server.port
    end = lab.start(check({"timeout": 0.3}, http=f"http://user:word@127.0.0.1:{port}/")).wait()
    assert end["detail"].endswith(f"GET http://127.0.0.1:{port}/: Connection refused")


def test_service_that_comes_up_late_passes(lab: Lab) -> None:
    early = iter([503, 503])

    def late(connection: socket.socket) -> None:
        connection.sendall(http(next(early, 200)))

    with serving(late) as server:
        run = lab.end(check(http=server.url))
    log = run.log().decode().splitlines()
    assert [line.split(" answered ")[1] for line in log] == ["503, not 200", "200"]


def test_hanging_server_does_not_outlive_the_attempt(lab: Lab) -> None:
    with serving(hang) as server:
        end = lab.start(check({"timeout": 1.2}, http=server.url, timeout=0.2)).wait()
    assert end["detail"].endswith(("did not finish within 0.2 s", "no answer in time"))


def test_slow_drip_does_not_outlive_the_attempt(lab: Lab) -> None:
    answers = iter([drip])
    with serving(lambda connection: next(answers, always(http(200)))(connection)) as server:
        run = lab.end(check(http=server.url, timeout=0.5))
    assert b"did not finish within 0.5 s" in run.log()
    assert len(server.requests) >= 2


def test_endless_body_is_read_only_so_far(lab: Lab) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with serving(endless) as server:
        assert lab.start(check(http=server.url)).wait()["outcome"] == "success"


def test_proxy_settings_are_not_used(lab: Lab) -> None:
    with serving(always(http(200))) as server:
        proxy = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
        assert lab.start(check({"env": proxy}, http=server.url)).wait()["outcome"] == "success"


def test_certificate_of_a_stranger_is_refused(lab: Lab, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-days",
        "1",
    ]
    try:
        subprocess.run(
            [*make, "-keyout", str(key), "-out", str(certificate)],
            env={"PATH": PATH},
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def handshake(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.sendall(http(200))

    with serving(handshake) as server:
        server._answer = handshake
        end = lab.start(check({"timeout": 0.5}, http=f"https://127.0.0.1:{server.port}/")).wait()
    assert end["outcome"] == "failed"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://", "http://127.0.0.1:99999/", "http://[x/"])
def test_bad_address_is_a_failed_attempt_and_no_crash(lab: Lab, url: str) -> None:
    assert lab.start(check({"timeout": 0.2}, http=url)).wait()["reason"] == "verify_failed"


# --- tcp and command


def test_tcp_check(lab: Lab) -> None:
    with serving(always(b"")) as server:
        assert lab.start(check(tcp=f"127.0.0.1:{server.port}")).wait()["outcome"] == "success"
        port = server.port
    end = lab.start(check({"timeout": 0.3}, tcp=f"127.0.0.1:{port}")).wait()
    assert end["detail"].endswith(f"connect to 127.0.0.1:{port}: Connection refused")
    assert lab.start(check({"timeout": 0.2}, tcp="nowhere")).wait()["reason"] == "verify_failed"


def test_command_check_sees_the_steps_environment_and_its_secret_is_masked(lab: Lab) -> None:
    command = ["sh", "-c", 'echo "at $TARGET with $KEY"; test -n "$KEY"']
    run = lab.end(
        check({"env": {"TARGET": "host"}, "secrets": ["key"]}, command=command),
        secrets={"key": "correct-horse"},
    )
    assert run.wait()["outcome"] == "success"
    assert run.log().startswith(b"at host with ***\n")


def test_command_check_that_fails_shows_what_it_printed_once(lab: Lab) -> None:
    run = lab.start(check({"timeout": 0.5}, command=["sh", "-c", "echo not yet; exit 3"]))
    assert run.wait()["detail"].endswith("exited with 3: not yet")
    assert run.log().count(b"\nnot yet\n") + run.log().startswith(b"not yet\n") == 1


def test_hanging_command_check_is_killed_with_its_tree(lab: Lab) -> None:
    run = lab.start(
        check({"timeout": 0.5, "grace": 0.2}, command=["sh", "-c", "sleep 301 & sleep 302"], timeout=0.2)
    )
    assert run.wait()["processes_left"] == 0
    assert run.processes() == []


# --- for how long


def test_check_must_be_good_for_the_whole_time(lab: Lab) -> None:
    with serving(always(http(200))) as server:
        begun = time.monotonic()
        run = lab.end(check({}, http=server.url, **{"for": 0.6}))
        assert run.events("step_ended")[0]["ok"] is True
        assert time.monotonic() - begun >= 0.6
    assert len(server.requests) >= 2


def test_flapping_service_does_not_pass(lab: Lab) -> None:
    turns = iter(range(1_000_000))

    def flap(connection: socket.socket) -> None:
        connection.sendall(http(500 if next(turns) % 2 else 200))

    with serving(flap) as server:
        run = lab.start(check({"timeout": 1.5}, http=server.url, every=0.1, **{"for": 0.6}))
        end = run.wait()
    assert end["reason"] == "verify_failed"
    assert run.log().count(b"answered 500") >= 2


def test_time_too_short_says_how_long_it_was_good(lab: Lab) -> None:
    with serving(always(http(200))) as server:
        end = lab.start(check({"timeout": 0.5}, http=server.url, **{"for": 60})).wait()
    assert re.search(r", good for \d+\.\d s of the 60 s wanted", end["detail"])


def test_check_outside_of_verify_ends_as_a_timeout(lab: Lab) -> None:
    with serving(always(http(500))) as server:
        end = lab.start(check({"timeout": 0.3, "phase": "deploy"}, http=server.url)).wait()
    assert end["reason"] == "timeout"


def test_check_is_cancelled_between_and_within_attempts(lab: Lab) -> None:
    with serving(hang) as hanging:
        waiting = lab.start(check({"timeout": 60.0}, command=["sh", "-c", "echo no; exit 1"], every=60.0))
        within = lab.start(check({"timeout": 60.0}, http=hanging.url, timeout=60.0))
        waiting.until_log(b"no")
        within.until_event("step_started")
        for run in (waiting, within):
            run.cancel()
        assert [run.wait(30)["outcome"] for run in (waiting, within)] == ["cancelled", "cancelled"]


def test_output_fills_the_address(lab: Lab) -> None:
    with serving(always(http(200))) as server:
        run = lab.end(
            step(f'echo "port={server.port}" >> "$DG_OUTPUTS"'),
            check(http="http://127.0.0.1:{outputs.port}/"),
        )
    assert run.wait()["outcome"] == "success"
