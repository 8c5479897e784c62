"""Masks that are drawn on the page, with each kind of device."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from contract.fields import STRENGTH, STRENGTH_OF_MASK
from tests.pictures_in import picture
from tests.web.studio import Studio, choose, in_state, paint

SIDE = 64


def open_editor(page: Page) -> None:
    choose(page, picture(SIDE, SIDE))
    page.get_by_role("button", name="Change only a part").click()
    expect(page.get_by_role("dialog", name="Where does it change?")).to_be_visible()


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """A point of the drawing, given in shares of it, in the window."""
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def line(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, *end), steps=5)
    page.mouse.up()


def used(studio: Studio, page: Page) -> NDArray[np.bool_]:
    """Uses the mask, and returns where the picture changes, as the upload says."""
    with page.expect_response("**/v1/uploads") as answer:
        page.get_by_role("button", name="Use this mask").click()
    expect(page.locator(".veil")).to_be_visible()
    return where(studio.api.get(f"/v1/uploads/{answer.value.json()['id']}").content)


def where(mask: bytes) -> NDArray[np.bool_]:
    with Image.open(io.BytesIO(mask)) as found:
        assert "A" not in found.getbands()
        return np.asarray(found.convert("L")) >= 128


def percent(page: Page) -> int:
    """How much of the picture changes, as the editor tells to those who cannot see it."""
    told = page.locator(".mask-editor [role=status]")
    expect(told).to_contain_text("of the picture changes")
    return int(told.inner_text().split()[-6])


def test_a_mask_is_drawn_with_the_mouse_and_a_part_is_made_anew(studio: Studio, page: Page) -> None:
    open_editor(page)
    tool = {name: page.get_by_role("button", name=name) for name in ("Undo", "Redo", "Invert", "Clear", "Erase")}
    expect(tool["Undo"]).to_be_disabled()
    line(page, (0.2, 0.25), (0.8, 0.25))
    one = percent(page)
    assert 5 < one < 12  # 60 % of the width, 12 % of the height
    line(page, (0.2, 0.75), (0.8, 0.75))
    assert percent(page) == pytest.approx(2 * one, abs=1)
    tool["Undo"].click()
    expect(page.locator(".mask-editor [role=status]")).to_have_text(f"Undone. {one} % of the picture changes.")
    tool["Redo"].click()
    expect(tool["Redo"]).to_be_disabled()
    page.get_by_label("Size").fill("30")
    tool["Erase"].click()
    line(page, (0.8, 0.75), (0.2, 0.75))
    expect(page.locator(".mask-editor [role=status]")).to_have_text(f"Erased. {one} % of the picture changes.")
    tool["Invert"].click()
    expect(page.locator(".mask-editor [role=status]")).to_have_text(f"Inverted. {100 - one} % of the picture changes.")
    tool["Clear"].click()
    expect(page.locator(".mask-editor [role=status]")).to_have_text("Cleared. 0 % of the picture changes.")
    for _ in range(2):
        page.keyboard.press("ControlOrMeta+z")
    expect(page.locator(".mask-editor [role=status]")).to_have_text(f"Undone. {one} % of the picture changes.")
    mask = used(studio, page)
    assert mask.shape == (SIDE, SIDE)
    assert mask[16, 16:48].all()
    assert not mask[[2, 28, 48, 60]].any()
    expect(page.get_by_label("Strength")).to_have_value(f"{STRENGTH_OF_MASK:g}")
    expect(page.locator("#hint-strength")).to_have_text("In the painted part: keeps next to nothing.")
    paint(page, steps=4)
    in_state(page, "succeeded")
    job = studio.job(page)
    assert np.array_equal(where(studio.api.get(f"/v1/jobs/{job['id']}/inputs/mask").content), mask)
    # Its settings bring the mask, which can be changed further.
    page.get_by_role("button", name="Remove").click()
    expect(page.locator(".veil")).to_be_hidden()
    page.get_by_role("button", name="Reuse settings").click()
    expect(page.locator(".veil")).to_be_visible()
    page.get_by_role("button", name="Change the part").click()
    page.get_by_role("button", name="Invert").click()
    assert np.array_equal(used(studio, page), ~mask)
    # Without it, all of the picture changes.
    page.get_by_role("button", name="All of it").click()
    expect(page.locator(".veil")).to_be_hidden()
    paint(page, steps=4)
    page.wait_for_url(lambda url: job["id"] not in url)
    assert studio.job(page)["request"]["mask"] is None


def test_a_mask_is_drawn_with_the_keyboard_alone(studio: Studio, page: Page) -> None:
    choose(page, picture(SIDE, SIDE))
    page.get_by_role("button", name="Change only a part").press("Enter")
    canvas = page.get_by_role("application", name="The mask, over the picture")
    expect(canvas).to_be_focused()
    expect(canvas).to_have_accessible_description(page.locator("#mask-help").inner_text())
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowUp")
    expect(page.locator(".mask-editor [role=status]")).to_have_text("38 % from the left, 47 % from the top.")
    page.keyboard.press(" ")
    dot = percent(page)
    assert 0 < dot < 3
    page.keyboard.down(" ")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.up(" ")
    assert percent(page) > 3 * dot
    page.keyboard.press("ArrowDown")  # the brush is lifted: this draws nothing
    page.keyboard.press("e")
    expect(page.get_by_role("button", name="Erase")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("]")
    expect(page.get_by_label("Size")).to_have_value("15")
    mask = used(studio, page)
    assert mask[30, 22:50].all()
    assert not mask[:24].any()
    assert not mask[37:].any()
    expect(page.get_by_label("Strength")).to_be_visible()
    page.get_by_role("button", name="Change the part").press("Enter")
    page.get_by_role("button", name="Clear").press("Enter")
    page.get_by_role("button", name="Use this mask").press("Enter")
    expect(page.locator(".veil")).to_be_hidden()  # nothing is painted, so that there is no mask
    expect(page.get_by_label("Strength")).to_have_value(str(STRENGTH))


def test_a_mask_is_drawn_by_touch(browser: Browser, server: str) -> None:
    options: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with Studio.opened(browser, server, **options) as studio:
        page = studio.open()
        open_editor(page)
        session = studio.context.new_cdp_session(page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            places = [dict(zip("xy", at(page, *point), strict=True)) for point in points]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        before = page.evaluate("scrollY")
        touch("touchStart", (0.5, 0.2))
        for y in (0.4, 0.6, 0.8):
            touch("touchMove", (0.5, y))
        touch("touchEnd")
        assert percent(page) > 5
        assert page.evaluate("scrollY") == before  # the finger draws, and does not scroll
        mask = used(studio, page)
        assert mask[14:50, 32].all()
        assert not mask[:, [4, 60]].any()
        # The picture is edited, compared, and edited again from the result.
        paint(page, steps=4)
        in_state(page, "succeeded")
        first = studio.job(page)
        page.get_by_role("button", name="Compare").tap()
        box = page.locator(".pair-of").bounding_box()
        assert box is not None
        page.touchscreen.tap(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
        expect(page.get_by_label("How much is seen of the picture before")).to_have_value("75")
        page.get_by_role("button", name="Use as input", exact=True).tap()
        expect(page.locator(".given")).to_contain_text("red heart")
        expect(page.locator(".veil")).to_be_hidden()
        paint(page, prompt="pizza", steps=4)
        page.wait_for_url(lambda url: first["id"] not in url)
        in_state(page, "succeeded")
        assert studio.job(page)["request"]["mask"] is None
        assert studio.job(page)["request"]["image"] not in (None, first["request"]["image"])


def test_a_canceled_mask_changes_nothing(page: Page) -> None:
    open_editor(page)
    line(page, (0.2, 0.2), (0.8, 0.8))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".veil")).to_be_hidden()
    expect(page.get_by_role("button", name="Change only a part")).to_be_focused()


def test_a_picture_is_extended_beyond_its_borders(studio: Studio, page: Page) -> None:
    sent: list[str] = []
    page.on("response", lambda answer: sent.append(answer.json()["id"]) if answer.url.endswith("/uploads") else None)
    choose(page, picture(SIDE, SIDE))
    page.get_by_role("button", name="Extend it").click()
    dialog = page.get_by_role("dialog", name="Extend the picture")
    for side, value in {"Left": "50", "Top": "0", "Right": "0", "Bottom": "0"}.items():
        dialog.get_by_label(side).fill(value)
    expect(dialog.get_by_role("img")).to_have_accessible_name("The picture on a canvas of 96 by 96 pixels")
    dialog.get_by_role("button", name="Extend it").click()
    expect(page.locator(".veil")).to_be_visible()
    expect(page.locator(".given")).to_contain_text("96 × 96")
    expect(page.get_by_role("button", name="Extend it")).to_be_hidden()
    paint(page, steps=4)
    in_state(page, "succeeded")
    job = studio.job(page)
    image, mask = (studio.api.get(f"/v1/jobs/{job['id']}/inputs/{name}").content for name in ("image", "mask"))
    # The model makes squares: half of the height is added, too, as much above as below.
    with Image.open(io.BytesIO(image)) as larger, Image.open(io.BytesIO(picture(SIDE, SIDE))) as before:
        assert larger.size == (96, 96)
        assert np.array_equal(np.asarray(larger.convert("RGB"))[16:80, 32:], np.asarray(before))
        assert larger.getpixel((4, 4)) == before.getpixel((0, 0))
    kept = np.zeros((96, 96), bool)
    kept[17:79, 33:] = True  # a pixel of it is made anew where there is a border
    assert np.array_equal(where(mask), ~kept)
    # The mask can be changed further.
    page.get_by_role("button", name="Change the part").click()
    page.get_by_role("button", name="Invert").click()
    assert np.array_equal(used(studio, page), kept)


EXTENDED = """async ([width, height]) => {
  const { extended } = await import("/js/outpaint.js");
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const image = new Image();
  image.src = URL.createObjectURL(await new Promise((resolve) => canvas.toBlob(resolve)));
  await image.decode();
  const { picture, mask } = extended(image, { left: 0.5, top: 0, right: 0.25, bottom: 1 }, false, "#000");
  const { data } = mask.getContext("2d").getImageData(0, 0, mask.width, mask.height);
  const isNew = (x, y) => data[4 * (y * mask.width + x) + 3] === 255;
  const [x, y] = [Math.round(picture.width / 2), Math.round(picture.height / 4)];
  return [picture.width, picture.height, isNew(x, y), isNew(4, y), isNew(x, 3 * y)];
}"""


def test_an_extended_picture_has_any_shape_and_no_more_pixels_than_models_make(page: Page) -> None:
    assert page.evaluate(EXTENDED, [80, 40]) == [140, 80, False, True, True]
    width, height, *_ = page.evaluate(EXTENDED, [4000, 2000])
    assert width / height == pytest.approx(140 / 80, rel=0.01)
    assert width * height == pytest.approx(4e6, rel=0.01)
