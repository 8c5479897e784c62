"""The page, used as users do."""

import io
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import Engine

from contract.methods import METHODS
from contract.words import Method
from tests.api.serving import serving
from tests.api.worker import Worker, png
from tests.web.studio import LONG, SHORT, Studio, film, in_state, paint, sees, set_up


def test_previews_replace_each_other(studio: Studio, page: Page) -> None:
    paint(page, **SHORT)
    in_state(page, "succeeded")
    sees(page, 5)
    pictures: list[dict[str, Any]] = page.evaluate("window.pictures")
    displayed = [picture["iterate"] for picture in pictures]
    assert displayed == sorted(displayed)
    assert displayed[-1] == 5
    assert {picture["side"] for picture in pictures} == {64}
    assert len({picture["src"] for picture in pictures}) == len(set(displayed))
    assert film(page) == list(range(6))
    expect(page.locator(".state")).to_contain_text("exact")
    # The figures are those of the API, in the panel, the plots and the table.
    iterates = studio.api.get(f"/v1/jobs/{studio.job(page)['id']}/iterates").json()["iterates"]
    expect(page.locator(".numbers dd").nth(2)).to_have_text(str(iterates[-1]["rounds"]))
    calls = rf"{iterates[-1]['rounds']} model calls for {SHORT['steps']} steps"
    gain = rf"The first picture came after [\d.]+ s, the last after [\d.]+ s: {calls}\."
    expect(page.locator(".gain")).to_have_text(re.compile(gain))
    expect(page.locator(".curve ~ .dot")).to_have_count(5)
    expect(page.locator(".column")).to_have_count(6)
    page.get_by_text("All iterates as a table").click()
    rounds = page.locator("tbody tr td:nth-child(3)").all_inner_texts()
    assert rounds == [str(iterate["rounds"]) for iterate in iterates]
    expect(page.locator("tbody tr td:last-child").last).to_have_text("0 %")
    expect(page.locator(".numbers dd").last).to_have_text("0 %")


@pytest.mark.slow
def test_every_preview_is_displayed_in_turn(
    browser: Browser, postgres_url: str, redis_url: str, database: Engine, tmp_path: Path
) -> None:
    """Here the test does the work of the worker, so that no iterate comes before the one before it is displayed."""
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path / "log", **settings) as address, Studio.opened(browser, address) as studio:
        page, worker = studio.open(), Worker(database)
        paint(page)
        page.wait_for_url(lambda url: "job=" in url)
        job = studio.job(page)["id"]
        worker.claim(job)
        worker.start(job)
        for iterate in range(6):
            worker.save(job, iterate, png(iterate), final=iterate == 5)
            expect(page.locator(".canvas")).to_have_attribute("data-iterate", str(iterate))
        worker.finish(job)
        in_state(page, "succeeded")
        pictures: list[dict[str, Any]] = page.evaluate("window.pictures")
        assert [picture["iterate"] for picture in pictures] == list(range(6))
        assert len({picture["src"] for picture in pictures}) == 6


def test_each_method_is_drawn_and_refined_as_its_row_says(
    browser: Browser, postgres_url: str, redis_url: str, database: Engine, tmp_path: Path
) -> None:
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path / "log", **settings) as address, Studio.opened(browser, address) as studio:
        page, worker = studio.open(), Worker(database)
        hint, refine = page.locator(".schedule .hint").first, page.get_by_role("button", name="Refine", exact=True)
        for name, method in METHODS.items():
            job = studio.submit(method="auto")["id"]
            page.goto(f"{address}/#job={job}")
            worker.claim(job)
            worker.start(job, method=name)
            worker.save(job, 0, png(0), final=True)
            drawn = "7 blocks across, iterates down." if method.by_blocks else f"{method.title} {method.summary}."
            expect(hint).to_contain_text(drawn)
            worker.finish(job, "converged")
            in_state(page, "succeeded")
            expect(page.get_by_role("button", name="Reuse settings")).to_be_visible()
            expect(refine).to_have_count(int(method.refines))


def test_the_tab_tells_the_share_that_is_done_and_a_canceled_job_can_be_tried_again(
    browser: Browser, postgres_url: str, redis_url: str, database: Engine, tmp_path: Path
) -> None:
    settings = {"UNDERPAINT_DATABASE_URL": postgres_url, "UNDERPAINT_REDIS_URL": redis_url}
    with serving(tmp_path / "log", **settings) as address, Studio.opened(browser, address) as studio:
        page, worker = studio.open(), Worker(database)
        job = studio.submit(seed=7, method="srds", images=2)["id"]
        page.goto(f"{address}/#job={job}")
        expect(page).to_have_title("red heart – Underpaint")
        worker.claim(job)
        for image in (0, 1):
            worker.start(job, image)
        worker.save(job, 0, png(0))
        expect(page).to_have_title("27 % – red heart – Underpaint")  # 10 of 18 rounds of one of two images
        worker.cancel(job)
        expect(page).to_have_title("red heart – Underpaint")
        page.get_by_role("button", name="Try again").click()
        page.wait_for_url(lambda url: "job=" in url and job not in url)
        again = studio.job(page)
        assert again["id"] != job
        assert again["request"] == studio.api.get(f"/v1/jobs/{job}").json()["request"]


def test_the_filmstrip_goes_back_to_an_earlier_iterate(page: Page) -> None:
    paint(page, **SHORT)
    in_state(page, "succeeded")
    sees(page, 5)
    page.get_by_role("button", name="Iterate 2,").click()
    expect(page.locator(".canvas")).to_have_attribute("data-iterate", "2")
    expect(page.locator(".numbers dd").first).to_have_text("2")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".numbers dd").first).to_have_text("1")
    page.keyboard.press("End")
    expect(page.locator(".numbers dd").first).to_have_text("5")
    expect(page.get_by_role("button", name="Back to the newest")).to_have_count(0)


@pytest.mark.slow
def test_keep_this_one(studio: Studio, page: Page) -> None:
    paint(page, **LONG)
    sees(page, 1)
    expect(page.locator(".cell.busy")).not_to_have_count(0)
    page.get_by_role("button", name="Keep this one").click()
    in_state(page, "succeeded")
    expect(page.locator(".state")).to_contain_text("accepted early")
    job = studio.job(page)
    assert job["stopped"] == "accepted"
    assert film(page)[-1] == job["images"][0]["iterate"]
    expect(page.locator(".cell.busy")).to_have_count(0)


def test_cancel(studio: Studio, page: Page) -> None:
    paint(page, **LONG)
    sees(page, 0)
    page.get_by_role("button", name="Cancel").click()
    in_state(page, "canceled")
    expect(page.locator(".state")).to_have_text("Canceled")
    assert studio.job(page)["state"] == "canceled"
    expect(page.get_by_role("button", name="Keep this one")).to_have_count(0)


def test_refine_a_draft(studio: Studio, page: Page) -> None:
    set_up(page, method="srds", seed=7, steps=20, blocks=5, tolerance=0.001)
    page.get_by_label("What should it show?").fill("sunflower")
    page.get_by_role("button", name="Draft").click()
    in_state(page, "succeeded")
    sees(page, 1)
    expect(page.locator(".state")).to_contain_text("a draft")
    assert film(page) == [0, 1]
    page.get_by_role("button", name="Refine it").click()
    expect(page.locator(".state")).not_to_contain_text("a draft")
    in_state(page, "succeeded")
    sees(page, 2)
    assert studio.job(page)["stopped"] in ("converged", "exact")
    assert film(page)[:3] == [0, 1, 2]


@pytest.mark.slow
def test_reload_in_mid_job(studio: Studio, page: Page) -> None:
    paint(page, **LONG)
    sees(page, 1)
    page.reload()
    in_state(page, "running")
    sees(page, 2)
    assert film(page)[:3] == [0, 1, 2]
    page.get_by_role("button", name="Keep this one").click()
    in_state(page, "succeeded")
    assert film(page) == list(range(studio.job(page)["images"][0]["iterate"] + 1))


@pytest.mark.slow
def test_two_tabs(studio: Studio, page: Page) -> None:
    paint(page, **LONG)
    sees(page, 0)
    other = studio.open(f"/#job={studio.job(page)['id']}")
    sees(other, 1)
    other.get_by_role("button", name="Cancel").click()
    in_state(page, "canceled")
    in_state(other, "canceled")


@pytest.mark.slow
def test_offline_and_back(studio: Studio, page: Page) -> None:
    studio.forgive("net::ERR_INTERNET_DISCONNECTED", "net::ERR_NETWORK_CHANGED")
    paint(page, **LONG)
    sees(page, 0)
    before = film(page)[-1]
    studio.context.set_offline(True)
    expect(page.locator(".notice")).to_contain_text("You are offline")
    studio.has_iterate(studio.job(page), before + 1)  # the job goes on meanwhile
    studio.context.set_offline(False)
    sees(page, before + 1)
    expect(page.locator(".notice").filter(has_text="offline")).to_have_count(0)
    assert film(page)[: before + 2] == list(range(before + 2))
    page.get_by_role("button", name="Cancel").click()
    in_state(page, "canceled")


@pytest.mark.slow
def test_a_stream_that_a_proxy_holds_back(studio: Studio, page: Page) -> None:
    held: list[Route] = []
    page.route("**/events", lambda route: held.append(route))
    paint(page, **SHORT)
    in_state(page, "succeeded")
    sees(page, 5)
    assert held
    assert film(page) == list(range(6))


def test_a_failed_job(studio: Studio, page: Page) -> None:
    paint(page, model="broken", steps=4)
    in_state(page, "failed")
    error = studio.job(page)["error"]
    assert error
    expect(page.locator(".state")).to_contain_text(error)
    expect(page.locator(".gallery li").first.locator(".badge")).to_have_text("Failed")
    expect(page.locator(".numbers")).to_be_hidden()  # there are no figures of no picture
    expect(page.locator("#intro")).to_be_visible()


@pytest.mark.slow
def test_a_queued_job_has_a_place(studio: Studio, page: Page) -> None:
    ahead = [studio.submit(**LONG) for _ in range(2)]
    for job in ahead:
        studio.has_iterate(job, 0)
    studio.submit(**LONG)
    paint(page, steps=2)
    expect(page.locator(".state")).to_have_text("Number 2 in the queue")
    studio.cancel_all()
    in_state(page, "canceled")


def test_the_form_has_the_fields_of_the_model(studio: Studio, page: Page) -> None:
    (model, *_) = studio.api.get("/v1/models").json()["models"]
    fields = [field for field in model["fields"] if field["label"] and field["name"] != "strength"]
    set_up(page)
    labels = page.locator(".settings .field:has([name]):visible label")
    assert labels.all_inner_texts() == [field["label"] for field in fields if not fixed(field)]
    for field in fields:
        shown = page.locator(f"#field-{field['name']}")
        expect(shown).to_have_value("" if field["default"] is None else str(field["default"]).removesuffix(".0"))
        expect(page.locator(f"#hint-{field['name']}")).to_have_text(field["help"])
        bounds = [shown.get_attribute(name) for name in ("min", "max", "maxlength")]
        numbers = [field["minimum"], field["maximum"], field["max_length"]]
        assert [bound and float(bound) for bound in bounds] == numbers
        for method in get_args(Method):
            set_up(page, method=method)
            expect(shown).to_be_enabled(enabled=method in field["methods"])
        set_up(page, method=model["defaults"]["method"])


def fixed(field: dict[str, Any]) -> bool:
    """Whether a model allows only one value, which the form does not ask for."""
    return field["minimum"] is not None and field["minimum"] == field["maximum"]


def test_what_the_server_refuses_is_shown_beside_the_field(studio: Studio, page: Page) -> None:
    studio.forgive("status of 422")
    page.get_by_role("button", name="Paint").click()
    expect(page.locator("#prompt-error")).to_have_text("Say what the picture shows.")
    expect(page.get_by_label("What should it show?")).to_be_focused()
    page.get_by_label("What should it show?").fill("red heart")
    set_up(page, steps=1001, guidance_scale=0)
    page.get_by_text("Settings", exact=True).click()
    page.get_by_role("button", name="Paint").click()
    expect(page.get_by_label("Steps")).to_be_focused()
    expect(page.locator("#error-steps")).to_have_text("This must be from 1 to 1000.")
    expect(page.locator("#error-guidance_scale")).to_have_text("This must be from 1 to 20.")
    set_up(page, steps=4)
    expect(page.locator("#error-steps")).to_have_text("")


def test_several_images_and_their_download(studio: Studio, page: Page) -> None:
    paint(page, images=3, steps=4)
    in_state(page, "succeeded")
    expect(page.locator(".images button")).to_have_count(3)
    page.get_by_role("button", name="Image 3 of 3, seed 9").click()
    expect(page.locator(".facts")).to_contain_text("seed 9")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download").click()
    assert downloading.value.suggested_filename == "red-heart-9.png"
    job = studio.job(page)
    served = studio.api.get(job["images"][2]["links"]["final"], headers={"Accept": "image/png"}).content
    saved = downloading.value.path().read_bytes()
    with Image.open(io.BytesIO(saved)) as one, Image.open(io.BytesIO(served)) as other:
        assert one.tobytes() == other.tobytes()


def test_the_settings_of_a_picture_are_used_again(studio: Studio, page: Page) -> None:
    first = studio.submit("cat face", steps=4, guidance_scale=2.5, seed=42, method="srds")
    page.goto(f"{studio.server}/#job={first['id']}")
    in_state(page, "succeeded")
    page.get_by_role("button", name="Reuse settings").click()
    expect(page.get_by_label("What should it show?")).to_have_value("cat face")
    page.get_by_role("button", name="Paint").click()
    page.wait_for_url(lambda url: "job=" in url and first["id"] not in url)
    in_state(page, "succeeded")
    again = studio.job(page)
    assert again["request"] == first["request"]
    pictures = [studio.api.get(f"/v1/jobs/{job['id']}/images/0/iterates/latest").content for job in (first, again)]
    # The files say of which job they are.
    one, other = (np.asarray(Image.open(io.BytesIO(file))) for file in pictures)
    assert np.array_equal(one, other)


def test_the_link_of_a_job_shows_it(studio: Studio, page: Page) -> None:
    job = studio.submit("pizza", steps=2)
    studio.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{studio.server}/#job={job['id']}")
    in_state(page, "succeeded")
    page.get_by_role("button", name="Share").click()
    expect(page.locator(".notice")).to_have_text("The link is copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    other = studio.context.new_page()
    other.goto(link)
    in_state(other, "succeeded")
    expect(other.get_by_role("heading", name="pizza")).to_be_visible()
    expect(other).to_have_title(re.compile("pizza"))


def test_the_gallery_goes_page_by_page(studio: Studio) -> None:
    for number in range(14):
        studio.submit("house", method="serial", steps=1, seed=number)
    page = studio.open()
    expect(page.locator(".gallery li")).to_have_count(12)
    page.get_by_role("button", name="Show older").click()
    expect(page.locator(".gallery li").nth(13)).to_be_attached()
    shown = page.locator(".gallery li").evaluate_all("items => items.map((item) => item.dataset.job)")
    listed = [job["id"] for job in studio.api.get("/v1/jobs", params={"limit": 100}).json()["jobs"]]
    assert shown == listed[: len(shown)]
    page.locator(".gallery li a").nth(13).click()
    in_state(page, "succeeded")
    assert studio.job(page)["id"] == shown[13]
    expect(page.locator('.gallery a[aria-current="true"]')).to_have_count(1)


def test_a_deleted_job_is_gone(studio: Studio, page: Page) -> None:
    studio.forgive("status of 404")
    job = studio.submit(steps=1, method="serial")
    page.goto(f"{studio.server}/#job={job['id']}")
    in_state(page, "succeeded")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    in_state(page, "empty")
    expect(page.locator(".blank")).to_contain_text("An empty canvas")
    assert studio.api.get(f"/v1/jobs/{job['id']}").status_code == 404
    expect(page.locator(f'[data-job="{job["id"]}"]')).to_have_count(0)
    page.goto(f"{studio.server}/#job={job['id']}")
    in_state(page, "missing")
    expect(page.locator(".state")).to_contain_text("it was deleted, or it never was")
    expect(page.locator(".blank")).to_have_text("No picture")


def test_the_api_reference(studio: Studio) -> None:
    page = studio.context.new_page()
    page.goto(f"{studio.server}/docs")
    page.get_by_role("button", name="POST /v1/jobs Submit a job").click()
    expect(page.get_by_role("button", name="Try it out")).to_be_visible()
