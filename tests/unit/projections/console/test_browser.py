"""The pages in a real browser: accessible in light and dark, wide and on a phone, usable by keyboard, live."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from projections.console.access import Access, RevealLog
from projections.console.app import Console, Ledger
from projections.current_decisions import CurrentDecisions
from projections.ledger.database import open_database
from projections.ledger.projector import Projector
from streams.adjudication.decisions import Decision
from streams.policy_files import load_policy
from streams.topics import BILLING_DECISIONS
from tests.unit.projections.console.browser import chromium, served
from tests.unit.projections.ledger.log import MemoryLog


class Site:
    """A console over a ledger to which the last decision of the year is still to come."""

    def __init__(self, folder: Path) -> None:
        self.log = MemoryLog.of_year(patients=60, seed=7)
        self.url = f"sqlite:///{folder / 'ledger.sqlite'}"
        current = CurrentDecisions()
        for decision in self.log.decisions:
            current.add(decision)
        self.current: list[Decision] = list(current)
        ends = self.log.ends()
        place = max(self.log.records(BILLING_DECISIONS), key=lambda it: it.timestamp_ms)
        with open_database(self.url) as database:
            early = {**ends, (BILLING_DECISIONS, place.partition): place.offset}
            Projector(database, self.log).project_to_end(early)  # type: ignore[arg-type]

    def catch_up(self) -> None:
        with open_database(self.url) as database:
            Projector(database, self.log.reader()).project_to_end()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def address(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    reveals = RevealLog(tmp_path_factory.mktemp("log") / "reveals.jsonl")
    with served(Console(Ledger(site.url), load_policy(), Access(), reveals).app()) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def a_denied_line(site: Site) -> Decision:
    return next(decision for decision in site.current if decision.reason == "WITHIN_30_OF_S0354")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_no_serious_accessibility_findings(site: Site, address: str, browser: Browser, scheme: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 850}, color_scheme=scheme)  # type: ignore[arg-type]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    for path in ("/", "/search?q=WITHIN_30_OF_S0354&in=reason", f"/decisions/{a_denied_line(site).decision_id}"):
        page.goto(address + path)
        found = Axe().run(page).response["violations"]
        serious = [(it["id"], it["nodes"][0]["html"]) for it in found if it["impact"] in ("serious", "critical")]
        assert serious == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the window"
    assert complaints == []
    page.close()


def test_from_the_search_to_the_answer_by_keyboard(site: Site, address: str, browser: Browser) -> None:
    line = a_denied_line(site)
    page: Page = browser.new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.get_by_label("Claim, patient token, order, NPI or reason").focus()
    page.keyboard.type(f"{line.claim_id}/{line.line_number}")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=f"{line.claim_id}/{line.line_number}").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(line.explanation)
    expect(page.locator("[aria-current=step]")).to_contain_text("decided: denied")
    expect(page.locator("body")).not_to_contain_text(line.patient_id)
    page.get_by_role("button", name="Reveal ids").press("Enter")
    expect(page.locator("dd").first).to_have_text(line.patient_id)
    page.close()


def test_decisions_come_without_loading_the_page_again(site: Site, address: str, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(address)
    expect(page.locator("#live-state")).to_have_text("Live.")
    before = page.locator("#live li").first.text_content()
    site.catch_up()
    expect(page.locator("#live li").first).not_to_have_text(before or "", timeout=15_000)
    page.close()
