"""One attempt of a check, in a process of its own, which can be killed whatever it waits for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from dg.runner.ticket import Check

if TYPE_CHECKING:
    from http.client import HTTPConnection

MAX_BODY_BYTES = 1 << 20


def attempt(check: Check) -> Callable[[], int]:
    """The attempt of an `http` or `tcp` check: prints one sentence and returns 0 when it was good, else 1."""

    def run() -> int:
        good, sentence = (
            _http(check, check.http) if check.http is not None else _tcp(check.tcp or "", check.timeout)
        )
        os.write(1, sentence.encode("utf-8", "replace"))
        return 0 if good else 1

    return run


def preload(check: Check) -> None:
    """Import once, in the runner, what each attempt's process would import again."""
    if check.http is not None:
        import http.client  # noqa: F401

        if check.http.startswith("https:"):
            import ssl  # noqa: F401


def subject(check: Check) -> str:
    """What is checked, for a sentence; without the user and password of a URL."""
    if check.http is not None:
        return f"GET {_without_user(check.http)}"
    if check.tcp is not None:
        return f"connect to {check.tcp}"
    return " ".join(check.command or ())


def _http(check: Check, url: str) -> tuple[bool, str]:
    import http.client

    name = subject(check)
    try:
        connection, target = _connection(url, check.timeout)
        headers = {"User-Agent": "dg", "Accept": "*/*", "Connection": "close", **check.headers}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        body = response.read(MAX_BODY_BYTES)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return False, f"{name}: {_reason(error)}"
    if response.status not in check.status:
        wanted = " or ".join(map(str, check.status))
        return False, f"{name} answered {response.status}, not {wanted}"
    if check.contains is not None and check.contains.encode() not in body:
        return False, f"{name} answered {response.status}, but without the text {check.contains!r}"
    return True, f"{name} answered {response.status}"


def _connection(url: str, timeout: float) -> tuple[HTTPConnection, str]:
    """A connection to where `url` points, by no proxy, and the request's target. Raises ValueError."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the address is not an http or https URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http":
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout), target
    import ssl

    context = ssl.create_default_context()
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context), target


def _tcp(address: str, timeout: float) -> tuple[bool, str]:
    host, _, port = address.rpartition(":")
    try:
        number = int(port)
        with socket.create_connection((host.strip("[]"), number), timeout):
            return True, f"connected to {address}"
    except (OSError, ValueError, OverflowError) as error:
        return False, f"connect to {address}: {_reason(error)}"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _without_user(url: str) -> str:
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
