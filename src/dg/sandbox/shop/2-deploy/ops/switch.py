"""Hand a release to a host, which starts it and switches to it once it answers."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path


def main():
    agent, archive, digest = sys.argv[1:]
    request = urllib.request.Request(
        f"{agent}/releases/{digest}",
        data=Path(archive).read_bytes(),
        headers={"Authorization": f"Bearer {os.environ['HOST_TOKEN']}", "Content-Type": "application/gzip"},
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        answer = json.load(error)
        print("\n".join(answer.get("log", [])))
        sys.exit(f"the host kept what it ran: {answer['error']}")
    print(f"{answer['host']} runs {answer['version']}, before {answer['before'] or 'nothing'}")


main()
