"""Pictures to begin with, on the page."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, Route, expect

from contract.fields import STRENGTH
from tests.pictures_in import picture
from tests.until import until
from tests.web.studio import SHORT, Studio, choose, in_state, paint, sees, set_up

# Gives a file to the page as an event of this class.
GIVE = """([kind, name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name));
  const options = { bubbles: true, cancelable: true };
  document.body.dispatchEvent(kind === "paste"
    ? new ClipboardEvent(kind, { ...options, clipboardData: files })
    : new DragEvent(kind, { ...options, dataTransfer: files }));
}"""


def give(page: Page, kind: str, file: bytes) -> None:
    page.evaluate(GIVE, [kind, "a file.png", base64.b64encode(file).decode()])


WAYS: dict[str, Callable[[Page, bytes], None]] = {
    "choose": choose,
    "drop": lambda page, file: give(page, "drop", file),
    "paste": lambda page, file: give(page, "paste", file),
}


def pixels(file: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(file)) as found:
        return np.asarray(found.convert("RGB"))


def input_of(studio: Studio, job: dict[str, Any], name: str = "image") -> NDArray[np.uint8]:
    """What a job began with."""
    return pixels(studio.api.get(f"/v1/jobs/{job['id']}/inputs/{name}").raise_for_status().content)


def test_a_file_is_uploaded_and_begins_a_job(studio: Studio, page: Page) -> None:
    thumbnail, strength = page.locator(".given img"), page.get_by_label("Strength")
    expect(strength).to_be_hidden()
    file = picture(80, 60, form="WEBP")
    for way in WAYS.values():
        way(page, file)
        expect(thumbnail).to_be_visible()
        expect(page.locator(".given")).to_contain_text("a file.png")
        expect(page.locator(".given")).to_contain_text("80 × 60")
        assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") == 80
        expect(strength).to_have_value(str(STRENGTH))
        expect(page.locator("#hint-strength")).to_have_text("Keeps where things are, and roughly their colours.")
        page.get_by_role("button", name="Remove").click()
        expect(thumbnail).to_be_hidden()
        expect(strength).to_be_hidden()
        expect(page.get_by_role("button", name="Begin with a picture")).to_be_focused()
    choose(page, file)
    expect(strength).to_be_visible()
    strength.press("Home")
    expect(page.locator("#hint-strength")).to_have_text("Keeps nearly everything; fine details change.")
    for _ in range(6):
        strength.press("ArrowRight")
    paint(page, steps=4)
    in_state(page, "succeeded")
    job = studio.job(page)
    assert job["request"]["strength"] == 0.35
    assert np.array_equal(input_of(studio, job), pixels(file))
    # The form keeps it, for another try.
    expect(thumbnail).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    paint(page, prompt="pizza", steps=4)
    page.wait_for_url(lambda url: job["id"] not in url)
    assert studio.job(page)["request"]["image"] is None


def test_a_pasted_text_stays_a_text(page: Page) -> None:
    page.evaluate("""() => {
      const clipboardData = new DataTransfer();
      clipboardData.items.add("a cell of a table", "text/plain");
      clipboardData.items.add(new File(["x"], "cell.png"));
      const event = new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData });
      window.untouched = document.querySelector("#prompt").dispatchEvent(event);
    }""")
    assert page.evaluate("window.untouched")
    expect(page.locator("#error-image")).to_be_empty()


def test_a_picture_that_is_here_begins_a_job_without_an_upload(studio: Studio, page: Page) -> None:
    uploads: list[str] = []
    page.on("request", lambda request: uploads.append(request.url) if "/uploads" in request.url else None)
    first = studio.submit("cat face", **SHORT)
    page.goto(f"{studio.server}/#job={first['id']}")
    in_state(page, "succeeded")
    sees(page, 5)
    page.get_by_role("button", name="Iterate 1,").click()
    page.get_by_role("button", name="Use as input", exact=True).click()
    expect(page.locator(".given")).to_contain_text("cat face")
    expect(page.get_by_label("What should it show?")).to_have_value("cat face")
    expect(page.get_by_label("What should it show?")).to_be_focused()
    paint(page, prompt="pizza", steps=4)
    page.wait_for_url(lambda url: first["id"] not in url)
    in_state(page, "succeeded")
    served = studio.api.get(f"/v1/jobs/{first['id']}/images/0/iterates/1", headers={"Accept": "image/png"})
    second = studio.job(page)
    assert np.array_equal(input_of(studio, second), pixels(served.content))
    # And from the gallery, by keyboard.
    page.get_by_role("button", name="Use as input: pizza").first.press("Enter")
    expect(page.locator(".given")).to_contain_text("pizza")
    paint(page, prompt="red heart", steps=4)
    page.wait_for_url(lambda url: second["id"] not in url)
    in_state(page, "succeeded")
    served = studio.api.get(second["images"][0]["links"]["final"], headers={"Accept": "image/png"})
    third = studio.job(page)
    assert np.array_equal(input_of(studio, third), pixels(served.content))
    assert uploads == []
    # Its settings bring the picture with them.
    page.get_by_role("button", name="Remove").click()
    page.get_by_label("What should it show?").fill("")
    page.get_by_role("button", name="Reuse settings").click()
    expect(page.locator(".given img")).to_be_visible()
    page.get_by_role("button", name="Paint").click()
    page.wait_for_url(lambda url: third["id"] not in url)
    in_state(page, "succeeded")
    assert studio.job(page)["request"] == third["request"]


def test_what_is_no_picture_is_refused_beside_the_button(studio: Studio, page: Page, tmp_path: Path) -> None:
    studio.forgive("status of 422", "status of 413")
    error = page.locator("#error-image")
    for file in (b"GIF89a" + bytes(50), picture()[:200], b""):
        answer = studio.api.post("/v1/uploads", content=file, headers={"Content-Type": "application/octet-stream"})
        choose(page, file)
        expect(error).to_have_text(f"This {answer.json()['errors'][0]['message']}.")
        expect(page.locator(".given")).to_be_hidden()
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(30 * 2**20)
    page.locator(".begin input[type=file]").set_input_files(large)
    expect(error).to_contain_text("The body may have at most")
    choose(page, picture())
    expect(page.locator(".given")).to_be_visible()
    expect(error).to_be_empty()


def test_a_strength_that_leaves_no_step_is_refused_beside_the_slider(studio: Studio, page: Page) -> None:
    studio.forgive("status of 422")
    choose(page, picture())
    expect(page.get_by_label("Strength")).to_be_visible()
    page.get_by_label("Strength").press("Home")
    set_up(page, steps=4)
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("What should it show?").fill("pizza")
    page.get_by_role("button", name="Paint").click()
    expect(page.locator("#error-strength")).to_contain_text("This must be at least 0.25 with 4 steps")
    expect(page.get_by_label("Strength")).to_be_focused()
    expect(page.locator(".settings")).to_be_hidden()
    page.get_by_label("Strength").press("End")
    expect(page.locator("#error-strength")).to_be_empty()


def test_the_settings_of_a_picture_are_taken_instead(studio: Studio, page: Page) -> None:
    studio.forgive("status of 404")
    job = studio.submit(prompt='a <b>&"cat" 心', seed=40, images=2, steps=9, guidance_scale=2.5, max_iterations=0)
    path = f"/v1/jobs/{job['id']}"
    until(lambda: studio.api.get(path).json()["state"] == "succeeded")
    ended = studio.api.get(path).json()
    settings = page.get_by_role("button", name="Use its settings")
    for kind, way in zip(("png", "webp", "jpeg"), WAYS.values(), strict=True):
        page.reload()
        made = studio.api.get(ended["images"][1]["links"]["final"], headers={"Accept": f"image/{kind}"})
        way(page, made.content)
        expect(page.locator(".given")).to_be_visible()
        settings.click()
        expect(page.locator(".given")).to_be_hidden()
        expect(page.locator("#prompt")).to_have_value(job["request"]["prompt"])
        for name, value in (("steps", "9"), ("guidance_scale", "2.5"), ("seed", "41"), ("images", "1")):
            expect(page.locator(f"#field-{name}")).to_have_value(value)
    choose(page, picture())
    expect(page.locator(".given")).to_be_visible()
    expect(settings).to_be_hidden()
    # One that began with a picture of a job that is gone.
    later = studio.submit(image=f"{path}/images/0/iterates/latest", steps=4)
    until(lambda: studio.api.get(f"/v1/jobs/{later['id']}").json()["state"] == "succeeded")
    made = studio.api.get(f"/v1/jobs/{later['id']}/images/0/iterates/latest")
    studio.api.delete(f"/v1/jobs/{later['id']}").raise_for_status()
    give(page, "drop", made.content)
    settings.click()
    expect(page.locator("#error-image")).to_have_text("The picture that it began with is not here: give it again.")


def test_a_job_waits_for_its_picture(studio: Studio, page: Page) -> None:
    held: list[Route] = []
    page.route("**/v1/uploads", lambda route: held.append(route))
    choose(page, picture())
    set_up(page, steps=4)
    page.get_by_label("What should it show?").fill("pizza")
    page.get_by_role("button", name="Paint").click()
    expect(page.locator("#composer")).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="Sending").first).to_be_visible()
    held.pop().continue_()
    page.wait_for_url(lambda url: "job=" in url)
    in_state(page, "succeeded")
    assert np.array_equal(input_of(studio, studio.job(page)), pixels(picture()))
    # And is not sent without it.
    jobs = studio.api.get("/v1/jobs").json()["jobs"]
    page.route("**/v1/uploads", lambda route: held.append(route))
    studio.forgive("status of 422")
    choose(page, b"GIF89a")
    page.get_by_role("button", name="Paint").click()
    expect(page.locator("#composer")).to_have_attribute("aria-busy", "true")
    held.pop().continue_()
    expect(page.locator("#error-image")).to_contain_text("GIF")
    expect(page.locator("#composer")).not_to_have_attribute("aria-busy", "true")
    assert studio.api.get("/v1/jobs").json()["jobs"][0]["id"] == jobs[0]["id"]


def test_a_job_has_the_shape_of_its_picture_unless_another_is_asked_for(studio: Studio, page: Page) -> None:
    set_up(page, model="broken")
    width = page.locator("#field-width")
    expect(width).to_have_value("64")
    choose(page, picture(128, 64))
    expect(width).to_have_value("")
    expect(width).to_have_attribute("placeholder", "as the picture")
    paint(page, steps=4)
    in_state(page, "failed")  # the model has a NaN weight
    first = studio.job(page)
    assert (first["request"]["width"], first["request"]["height"]) == (128, 64)
    set_up(page, width=96, height=96)
    choose(page, picture(64, 128))
    expect(page.locator(".given")).to_contain_text("64 × 128")
    paint(page, steps=4)
    page.wait_for_url(lambda url: first["id"] not in url)
    second = studio.job(page)["request"]
    assert (second["width"], second["height"]) == (96, 96)
    page.reload()
    set_up(page, model="broken")
    choose(page, picture(128, 64))
    expect(width).to_have_value("")
    page.get_by_role("button", name="Remove").click()
    expect(width).to_have_value("64")
