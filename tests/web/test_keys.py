"""The page of a server that requires a key."""

from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, expect
from sqlalchemy import Engine

from store import keys
from tests.api.serving import serving
from tests.api.worker import Worker, png
from tests.web.studio import Studio, in_state, sees


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

        # The page reads the job's events and figures with the key as well. There is no worker.
        page.get_by_label("What should it show?").fill("red heart")
        page.get_by_role("button", name="Paint").click()
        expect(page.locator(".state")).to_have_text("Next in the queue")
        page.clock.set_fixed_time(datetime.now(UTC))  # the seconds until the next request do not pass
        while not page.locator("#notices").get_by_role("button", name="Try again").is_visible():
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


def test_a_link_shows_a_job_to_a_guest_without_a_key(
    browser: Browser, postgres_url: str, redis_url: str, database: Engine, tmp_path: Path
) -> None:
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    own = made(database, "own")
    with serving(tmp_path / "log", **settings) as address, Studio.opened(browser, address) as studio:
        studio.api.headers["Authorization"] = f"Bearer {own}"
        studio.context.grant_permissions(["clipboard-read", "clipboard-write"])
        studio.forgive("status of 401")
        image = f"data:image/png;base64,{b64encode(png()).decode()}"
        job = studio.submit("pizza", steps=4, image=image)
        Worker(database).run(job["id"])
        page = studio.context.new_page()
        page.goto(f"{address}/#job={job['id']}")
        page.get_by_role("textbox", name="API key").fill(own)
        page.keyboard.press("Enter")
        in_state(page, "succeeded")
        page.get_by_role("button", name="Share").click()
        expect(page.locator(".notice")).to_contain_text("The link is copied. Whoever has it can look at this picture.")
        link = page.evaluate("navigator.clipboard.readText()")
        assert link.startswith(f"{address}/#job={job['id']}&share=us_")

        with Studio.opened(browser, address) as guest:
            guest.api.headers["Authorization"] = f"Bearer {own}"
            guest.forgive("status of 401")
            theirs = guest.context.new_page()
            theirs.goto(link)
            in_state(theirs, "succeeded")
            sees(theirs, 1)
            expect(theirs.get_by_role("heading", name="pizza")).to_be_visible()
            expect(theirs.get_by_role("button", name="Download")).to_be_visible()
            expect(theirs.get_by_role("button", name="Delete")).to_have_count(0)
            expect(theirs.get_by_label("What should it show?")).to_be_hidden()
            expect(theirs.locator("#key-form")).to_be_hidden()  # nobody is asked for a key
            # A link does not open what the job began with: that may be private.
            theirs.get_by_role("button", name="Compare").click()
            slider = theirs.get_by_label("How much is seen of the picture before")
            expect(slider).to_have_attribute("aria-valuetext", "50 % Iterate 0, 50 % Final")
            expect(theirs.get_by_role("group", name="Compare with")).to_be_hidden()
            page.get_by_role("button", name="Stop sharing").click()
            expect(page.locator(".notice")).to_have_text("The link opens nothing any more.")
            theirs.reload()
            in_state(theirs, "missing")
            expect(theirs.locator(".state")).to_have_text("The link opens nothing any more, or it is not complete.")
