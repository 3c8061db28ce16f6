"""The page at `/docs` as a person uses it: read, filtered, tried out with a token, on a telephone too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.api.browser import CHROMIUM, Tab, browsing
from tests.client.servers import serving

from dg.api import contract
from dg.api.docs.joined import operations
from dg.client.auth import find

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

OPERATIONS = sum(1 for name in contract.NAMES for _ in operations(contract.load(name)))
SHOWN = "document.querySelectorAll('.opblock').length"


class Reader:
    """Somebody before the page, with a token in hand."""

    def __init__(self, tab: Tab, url: str, token: str) -> None:
        self.tab = tab
        self.url = url
        self.token = token

    def authorise(self) -> None:
        self.tab.press(".btn.authorize")
        self.tab.type(".auth-container input", self.token)
        self.tab.press(".auth-btn-wrapper .authorize")
        self.tab.press(".auth-btn-wrapper .btn-done")
        self.tab.wait("!document.querySelector('.auth-container')")

    def try_out(self, operation: str) -> str:
        """Send the operation as the page proposes it; what the answer's box then says."""
        block = f"[id$='-{operation}'].opblock"
        self.tab.press(f"{block} .opblock-summary-control")
        self.tab.press(f"{block} .try-out__btn")
        self.tab.press(f"{block} .execute")
        box = f'document.querySelector("{block} .live-responses-table .response")'
        answer: str = self.tab.wait(f"{box} && {box}.innerText")
        return answer


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("docs")
    with serving(folder / "home") as server, browsing(folder / "profile") as tab:
        token = find({}, folder / "home").token
        assert token is not None
        yield Reader(tab, server.url, token)


@pytest.fixture
def reader(visitor: Reader) -> Iterator[Reader]:
    """Who has just opened the page; at the end, nothing went wrong in it and nothing left it."""
    tab = visitor.tab
    tab.resize(1280, 900)
    tab.open("about:blank")
    tab.open(f"{visitor.url}/docs")
    tab.wait(SHOWN)
    yield visitor
    assert tab.errors == []
    assert tab.evaluate("window.violations") == []
    assert [each for each in tab.asked if not each.startswith((visitor.url, "data:", "about:"))] == []


def test_the_page_shows_every_operation_and_finds_some(reader: Reader) -> None:
    assert reader.tab.evaluate(SHOWN) == OPERATIONS
    reader.tab.type(".operation-filter-input", "/tokens")
    reader.tab.wait(f"{SHOWN} < 10")
    assert reader.tab.evaluate("document.querySelector('#docs').innerText.includes('/tokens/{id}')")


def test_operations_are_tried_out_with_a_token(reader: Reader) -> None:
    assert reader.try_out("getHealth").startswith("200")
    reader.authorise()
    assert "local" in reader.try_out("whoami")
    assert reader.try_out("createToken").startswith("201")
    assert "Bearer <token>" in reader.tab.evaluate("document.body.innerText")
    assert reader.token not in reader.tab.evaluate("document.body.innerText")
    assert reader.tab.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0


def test_nothing_is_cut_off_on_a_telephone(reader: Reader) -> None:
    reader.tab.resize(390, 844)
    reader.tab.press("[id$='-createToken'].opblock .opblock-summary-control")
    reader.tab.wait("!!document.querySelector(\"[id$='-createToken'] .responses-table\")")
    assert reader.tab.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]


def test_what_a_tag_says_has_the_whole_width_of_a_telephone(reader: Reader) -> None:
    reader.tab.resize(420, 844)
    widths = "[...document.querySelectorAll('.opblock-tag > small')].map((each) => each.offsetWidth)"
    assert min(reader.tab.evaluate(widths)) > 300
    links = "document.querySelectorAll('.opblock-tag > .info__externaldocs').length"
    cut = (
        "[...document.querySelectorAll('.opblock-tag > .info__externaldocs')]"
        ".filter((each) => each.scrollWidth > each.clientWidth).length"
    )
    assert reader.tab.evaluate(links) > 0
    assert reader.tab.evaluate(cut) == 0
    assert reader.tab.evaluate("document.documentElement.scrollWidth") == 420
