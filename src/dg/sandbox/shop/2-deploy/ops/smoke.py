"""Ask the shop what a customer would ask, and that it is the version that was meant."""

import json
import sys
import urllib.request


def get(url):
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


def main():
    site, version = sys.argv[1:]
    running = get(f"{site}/health")["version"]
    if running != version:
        sys.exit(f"{site} runs {running}, not {version}")
    for product in get(f"{site}/products"):
        print(f"{product['name']:<12}{product['price']:>12}")


main()
