"""Takes the pictures of `docs/slack.md`, of a team at work before the simulator's page.

`python -m tests.bot.pictures docs/slack` makes them anew; it takes Chromium.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from pathlib import Path

from tests.api.browser import Tab, browsing
from tests.bot.office import DEPLOYS, Office, open_office
from tests.bot.test_digest import look
from tests.core.deployments.world import ADMIN, step

from dg.bot.messages import deployments as shown
from dg.core.types import Environment

ROUTES = {"all": {"channel": DEPLOYS, "post": "always", "digest": True}}
COMMITS = {
    "v1.4.1": ("Keep the cart over a login",),
    "v1.4.2": (
        "Apply the spring prices",
        "Fix the login loop behind a proxy",
        "Let a cart have more than 99 lines",
        "Retry the payment once",
    ),
    "v1.5.0": ("Move the checkout to its own host",),
}
STEPS = (
    step("build", "build", "echo building $DG_VERSION"),
    step("migrate", "deploy", "echo migrating"),
    step("rollout", "deploy", "echo rolled out $DG_VERSION"),
    step("smoke", "verify", "test $DG_VERSION != v1.5.0 || { echo GET /pay 502; exit 1; }"),
)
PULSE = {"kind": "heartbeat", "service": "api", "interval": 60}


class Album:
    """Pictures of what one person sees, each cut to what it is of."""

    def __init__(self, office: Office, tab: Tab, folder: Path) -> None:
        self._url = office.slack.url
        self._tab = tab
        self._folder = folder

    async def take(self, name: str, selector: str, person: str, channel: str = "deploys") -> None:
        await asyncio.to_thread(self._take, name, selector, f"{self._url}/?as={person}&channel={channel}")

    def _take(self, name: str, selector: str, url: str) -> None:
        tab = self._tab
        tab.resize(900, 1400)
        tab.open(url)
        tab.wait("document.body?.dataset.ready")
        tab.wait(f"!!document.querySelector({selector!r})")
        box = tab.evaluate(
            f"(() => {{ const found = document.querySelector({selector!r});"
            "found.scrollIntoView({block: 'nearest'}); const box = found.getBoundingClientRect();"
            "const last = found.id === 'main' ? [...found.querySelectorAll('.home > *')].pop() : null;"
            "const height = last ? last.getBoundingClientRect().bottom + 16 - box.y : box.height;"
            "return {x: box.x, y: box.y, width: box.width, height, scale: 1}; })()"
        )
        taken = tab.call("Page.captureScreenshot", format="png", clip=box)["data"]
        (self._folder / f"{name}.png").write_bytes(base64.b64decode(taken))


async def ask(office: Office, version: str, reason: str) -> None:
    """Ana asks for production, by the form."""
    await office.slack.post_command("ana", f"deploy api {version} to production")
    await office.modal("ana", "Why?")
    await office.slack.submit("ana", {"reason": reason, "name": "api"})
    await office.modal("ana", "Asked for")
    await office.slack.close("ana")


async def approved(office: Office) -> None:
    """Ben agrees to what waits."""
    await office.slack.click("ben", await office.shown("0 of 1"), shown.APPROVE)


async def tell(office: Office, album: Album) -> None:
    """A day: one goes well, one goes wrong, one waits."""
    slack, core = office.slack, office.world.core
    await office.world.register(*STEPS, service="api")
    await core.environments.set_probe(ADMIN, Environment.PRODUCTION, "cart", PULSE)
    await core.health.beat(ADMIN, Environment.PRODUCTION, "cart")
    await ask(office, "v1.4.1", "as every Tuesday")
    await approved(office)
    await office.shown("Runs there since")
    await ask(office, "v1.4.2", "the spring prices")
    waiting = await office.shown("the spring prices")
    await slack.until(lambda: slack.messages(thread_ts=waiting.ts))
    await album.take("approval", f":not(button)[data-ts='{waiting.ts}']", "ben")
    await approved(office)
    await slack.until(lambda: "success" in slack.messages()[-1].text, within=30)
    await ask(office, "v1.5.0", "a host for the checkout")
    await approved(office)
    failed = await office.shown("It was rolled back")
    await slack.until(lambda: "last lines" in str(slack.messages(thread_ts=failed.ts)), within=20)
    await album.take("failure", f":not(button)[data-ts='{failed.ts}']", "ben")
    await office.say("ben", "unlock api in production because it was the new host")
    await ask(office, "v1.4.2", "once more")
    await slack.until(lambda: "waits for approval" in slack.messages()[-1].text, within=20)
    await slack.open_home("ben")
    await slack.until(lambda: "waits for you" in str(getattr(slack.home("ben"), "content", "")), within=20)
    await album.take("home", "#main", "ben", "home")
    await look(office)
    digest = await office.shown("Went wrong")
    await album.take("digest", f":not(button)[data-ts='{digest.ts}']", "ben")


async def main(folder: Path) -> None:
    """Make the pictures of a folder anew."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place)
        browser = browsing(path / "browser")
        tab = await asyncio.to_thread(browser.__enter__)
        try:
            async with open_office(path / "office", routes=ROUTES) as office:
                for tag, subjects in COMMITS.items():
                    for subject in subjects:
                        office.world.repository.commit(subject, release=subject)
                    office.world.repository.git("tag", tag)
                await tell(office, Album(office, tab, folder))
        finally:
            await asyncio.to_thread(browser.__exit__, None, None, None)


if __name__ == "__main__":
    pictures = Path(sys.argv[1])
    pictures.mkdir(exist_ok=True)
    asyncio.run(main(pictures))
