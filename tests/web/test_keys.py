"""The page of a server that wants a key."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import Engine

from store import keys
from tests.api.serving import serving
from tests.web.studio import Studio

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def made(database: Engine, name: str, **limits: int) -> str:
    """A new key."""
    key = keys.new_key()
    with database.begin() as connection:
        connection.execute(keys.create(name, key, ("submit", "read"), **limits))
    return key


def test_a_key_is_asked_for_kept_and_limited(
    browser: Browser, postgres_url: str, redis_url: str, database: Engine, tmp_path: Path
) -> None:
    own, limited = made(database, "own"), made(database, "limited", requests_per_minute=12)
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path / "log", **settings) as address, Studio.opened(browser, address) as studio:
        studio.api.headers["Authorization"] = f"Bearer {own}"
        studio.forgive("status of 401", "status of 429", "status of 404")  # another key does not see the job
        page = studio.context.new_page()
        page.goto(address)
        expect(page.get_by_role("alert")).to_contain_text("Send a key")
        page.get_by_role("textbox", name="API key").fill("nonsense")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not work")
        page.get_by_role("textbox", name="API key").fill(limited)
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator(".chip").first).to_be_visible()

        # The job's events and figures are read with the key as well; there is no worker, and the page says so.
        page.get_by_label("What should it show?").fill("red heart")
        page.get_by_role("button", name="Paint").click()
        expect(page.locator(".state")).to_have_text("Next in the queue")
        for _ in range(12):
            if page.locator("#notices").get_by_role("button", name="Try again").is_visible():
                break
            page.get_by_role("button", name="Paint").click()
            expect(page.get_by_role("button", name="Paint", exact=True)).to_be_visible()
        expect(page.locator("#notices strong").first).to_contain_text("s left")
        expect(page.get_by_role("button", name="Try again").first).to_be_disabled()

        page.reload()
        page.get_by_role("button", name="Key").click()
        expect(page.get_by_role("textbox", name="API key")).to_have_value(limited)
        page.get_by_role("textbox", name="API key").fill(own)
        page.keyboard.press("Enter")
        expect(page.locator(".chip").first).to_be_visible()
        expect(page.locator(".gallery li")).to_have_count(0)  # those jobs are another key's
