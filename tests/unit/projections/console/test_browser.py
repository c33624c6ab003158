"""The pages in a real browser: accessible in light and dark, wide and on a phone, usable by keyboard, live."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from projections.console.access import Access, RevealLog, read_tokens
from projections.console.app import Console, Ledger
from projections.current_decisions import CurrentDecisions
from projections.ledger.database import open_database
from projections.ledger.projector import Projector
from streams.adjudication.decisions import Decision
from streams.policy_files import load_policy
from streams.topics import BILLING_DECISIONS
from tests.unit.projections.console.browser import chromium, served
from tests.unit.projections.ledger.log import MemoryLog

TOKEN = "a-token-of-some-length"

expect.set_options(timeout=60_000)  # Playwright's own 5 s are soon over on a busy machine


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
        self.to_come = self.log.decisions[-1].decision_id
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
@pytest.mark.parametrize("width", [1200, 360])
def test_no_serious_accessibility_findings(site: Site, address: str, browser: Browser, scheme: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 850}, color_scheme=scheme)  # type: ignore[arg-type]
    complaints: list[str] = []

    def complain(message: ConsoleMessage) -> None:
        if message.type == "error" and "/nothing-here" not in message.location["url"]:
            complaints.append(f"{message.location['url']}: {message.text}")

    page.on("console", complain)
    page.on("request", lambda request: complaints.append(request.url) if not request.url.startswith(address) else None)
    by_outcome = {it.outcome: f"/decisions/{it.decision_id}" for it in site.current if it.decision_id != site.to_come}
    assert set(by_outcome) == {"PAID", "DENIED", "BUNDLED", "VOIDED", "PENDED"}
    record = site.log.records("claim-received")[0]
    denied = f"/decisions/{a_denied_line(site).decision_id}"
    for path in (
        "/",
        "/search",
        "/search?q=WITHIN_30_OF_S0354&by=reason",
        "/search?by=patient",
        *by_outcome.values(),
        denied,
        f"{denied}?from=soon",
        f"{denied}?code=S0353",
        f"/events/claim-received/{record.partition}/{record.offset}",
        "/nothing-here",
    ):
        check(page, address + path)
    page.goto(address)
    page.get_by_label("Claim, patient token, order, NPI or reason").fill("no such id")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("No line found")
    check(page)
    assert complaints == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_before_and_without_the_ledger_are_accessible(browser: Browser, scheme: str, tmp_path: Path) -> None:
    nowhere, log = Ledger(f"sqlite:///{tmp_path / 'none.sqlite'}"), RevealLog(tmp_path / "r")
    page = browser.new_page(viewport={"width": 360, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    with served(Console(nowhere, load_policy(), Access(), log).app()) as address:
        check(page, address)
        expect(page.get_by_role("heading", level=1)).to_have_text("The ledger cannot be read")
        open_database(f"sqlite:///{tmp_path / 'none.sqlite'}").close()
        check(page, address)
        expect(page.locator("main")).to_contain_text("No line is decided yet")
    with served(Console(nowhere, load_policy(), Access(read_tokens(f"anna:{TOKEN}")), log).app()) as address:
        check(page, address)
        page.get_by_label("Your token").fill("a wrong token of some length")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("nobody's token")
        check(page)
        page.get_by_label("Your token").fill(TOKEN)
        page.get_by_label("Your token").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("What was decided")
    page.close()


def check(page: Page, address: str | None = None) -> None:
    """No serious finding of axe-core, and nothing wider than the window."""
    if address is not None:
        page.goto(address)
    found = Axe().run(page).response["violations"]
    serious = [(it["id"], it["nodes"][0]["html"]) for it in found if it["impact"] in ("serious", "critical")]
    assert serious == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{page.url} is wider than the window"


def test_from_the_search_to_the_answer_by_keyboard(site: Site, address: str, browser: Browser) -> None:
    line = a_denied_line(site)
    page: Page = browser.new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type(line.patient_id)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("of patient …")
    assert line.patient_id not in page.url + page.title()
    page.get_by_role("link", name=f"{line.claim_id}/{line.line_number}", exact=True).press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(line.explanation)
    assert line.claim_id not in page.url + page.title(), "titles and addresses end in histories"
    expect(page.locator("[aria-current=step]")).to_contain_text("decided: denied")
    expect(page.locator("body")).not_to_contain_text(line.patient_id)
    page.get_by_role("button", name="Reveal ids").press("Enter")
    expect(page.locator("dd").first).to_have_text(line.patient_id)
    page.get_by_label("Asked from").fill("2026-01-01")
    page.get_by_role("button", name="Ask").press("Enter")
    page.wait_for_url("**from=2026-01-01**")
    page.close()


@pytest.mark.parametrize(("width", "shown"), [(1200, "wide"), (360, "narrow")])
def test_the_timeline_fits_and_shows_the_line_and_what_stands_in_its_way(
    site: Site, address: str, browser: Browser, width: int, shown: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 850})
    page.goto(f"{address}/decisions/{a_denied_line(site).decision_id}")
    expect(page.locator(f".timeline.{shown}")).to_be_visible()
    expect(page.locator(".timeline:visible")).to_have_count(1)
    expect(page.locator(f".timeline.{shown} .ring")).to_have_count(2)
    expect(page.locator(f".timeline.{shown} .days")).to_contain_text("days")
    box = page.locator(f".timeline.{shown}").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    page.close()


def test_decisions_come_without_loading_the_page_again(site: Site, address: str, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(address)
    expect(page.locator("#live-state")).to_have_text("Live.")
    before = page.locator("#live li").first.text_content()
    lines_before = page.locator("[aria-labelledby=h-money] tbody").text_content()
    site.catch_up()
    expect(page.locator("#live li").first).not_to_have_text(before or "")
    expect(page.locator("[aria-labelledby=h-money] tbody")).not_to_have_text(lines_before or "")
    page.close()
