"""`dg init server --container`: an image and two ways to run it, in which a stop waits for deployments.

Nothing outlives a container: the kernel ends all processes of its PID namespace with the first one, and
podman all of its cgroup even in the host's namespace. So the server drains (`server.drain`).
"""

from __future__ import annotations

DRAIN = "1h"
STOP_SECONDS = 3660
"""What the server is given to stop, longer than `DRAIN`."""

CONTAINERFILE = """\
# Build it in a clone of dg: podman build -t dg -f Containerfile .
FROM docker.io/library/python:3.12-slim-bookworm
RUN apt-get update && \\
    apt-get install -y --no-install-recommends git openssh-client && \\
    rm -rf /var/lib/apt/lists/*
# Add what your pipelines call: kubectl, rsync, a cloud's own command line.
WORKDIR /opt/dg
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY bin bin/
COPY src src/
RUN bin/environment && useradd --uid 8470 --create-home dg && install -d -o dg -g dg -m 0700 /var/lib/dg
USER dg
ENV DG_HOME=/var/lib/dg
# Plain HTTP inside, published to the machine's loopback alone: a proxy in front speaks TLS.
ENV DG_SERVER__HOST=0.0.0.0 DG_SERVER__ALLOW_PLAIN=true
# A stop waits so long for running deployments, which end with the container.
ENV DG_SERVER__DRAIN={drain}
VOLUME /var/lib/dg
EXPOSE 8470
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/dg/bin/dg"]
CMD ["serve"]
"""

COMPOSE = """\
services:
  dg:
    build: {{context: ., dockerfile: Containerfile}}
    image: dg
    # Hands the stop signal to the server alone and reaps what steps leave behind.
    init: true
    stop_signal: SIGTERM
    stop_grace_period: {stop}s
    restart: unless-stopped
    ports: ["127.0.0.1:8470:8470"]
    volumes: ["dg:/var/lib/dg"]
    cap_drop: [ALL]
    ulimits: {{nofile: 65536, core: 0}}
volumes:
  dg: {{}}
"""

QUADLET = """\
# For podman 4.4 and newer: /etc/containers/systemd/dg.container
[Unit]
Description=dg, deploys, guards and rolls back

[Container]
Image=localhost/dg:latest
RunInit=true
PodmanArgs=--stop-timeout={stop}
PublishPort=127.0.0.1:8470:8470
Volume=dg:/var/lib/dg
DropCapability=ALL
Ulimit=nofile=65536
Ulimit=core=0

[Service]
Restart=always
TimeoutStopSec={longer}

[Install]
WantedBy=multi-user.target
"""


def recipe() -> dict[str, str]:
    """The files by name."""
    return {
        "Containerfile": CONTAINERFILE.format(drain=DRAIN),
        "compose.yaml": COMPOSE.format(stop=STOP_SECONDS),
        "dg.container": QUADLET.format(stop=STOP_SECONDS, longer=STOP_SECONDS + 30),
    }
