"""Before and after, on the page."""

import io
import re
from base64 import b64encode

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.pictures_in import saved
from tests.web.studio import SHORT, Studio, in_state, sees

pytestmark = pytest.mark.slow

GREEN = (0, 200, 0)


def colours(page: Page) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What is seen on the left and on the right of the picture, below the names."""
    page.mouse.move(0, 0)
    with Image.open(io.BytesIO(page.locator(".pair-of").screenshot())) as seen:
        rgb = seen.convert("RGB")
        left, right = (rgb.getpixel((round(x * rgb.width), rgb.height // 5)) for x in (0.1, 0.9))
    assert isinstance(left, tuple)
    assert isinstance(right, tuple)
    return left, right


def test_the_picture_is_compared_with_what_it_began_with_and_with_its_first_iterate(studio: Studio, page: Page) -> None:
    green = f"data:image/png;base64,{b64encode(saved(Image.new('RGB', (64, 64), GREEN))).decode()}"
    job = studio.submit("red heart", image=green, strength=0.9, **SHORT)
    page.goto(f"{studio.server}/#job={job['id']}")
    in_state(page, "succeeded")
    sees(page, 5)
    slider = page.get_by_label("How much is seen of the picture before")
    expect(slider).to_be_hidden()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".before")).to_have_attribute("src", re.compile("^blob:"))
    expect(slider).to_have_attribute("aria-valuetext", "50 % Before, 50 % Final")
    left, right = colours(page)
    assert left == GREEN
    assert right != GREEN
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "0 % Before, 100 % Final")
    assert GREEN not in colours(page)
    slider.press("End")
    assert colours(page) == (GREEN, GREEN)
    # By mouse, the divider is where the pointer is.
    box = page.locator(".pair-of").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    expect(slider).to_have_value("25")
    page.get_by_role("button", name="The first iterate").click()
    expect(slider).to_have_attribute("aria-valuetext", "50 % Iterate 0, 50 % Final")
    assert GREEN not in colours(page)
    page.get_by_role("button", name="Iterate 2,").click()
    expect(slider).to_have_attribute("aria-valuetext", "50 % Iterate 0, 50 % Iterate 2")
    # The first iterate has no other one before it: the input is left.
    page.get_by_role("button", name="Iterate 0,").click()
    expect(slider).to_have_attribute("aria-valuetext", "50 % Before, 50 % Iterate 0")
    expect(page.get_by_role("button", name="The first iterate")).to_be_hidden()
    page.get_by_role("button", name="Stop comparing").click()
    expect(slider).to_be_hidden()


def test_a_job_of_a_prompt_alone_is_compared_with_its_first_iterate(studio: Studio, page: Page) -> None:
    job = studio.submit(**SHORT)
    page.goto(f"{studio.server}/#job={job['id']}")
    in_state(page, "succeeded")
    sees(page, 5)
    page.get_by_role("button", name="Compare").press("Enter")
    expect(page.get_by_role("button", name="Stop comparing")).to_be_focused()
    slider = page.get_by_label("How much is seen of the picture before")
    expect(slider).to_have_attribute("aria-valuetext", "50 % Iterate 0, 50 % Final")
    expect(page.get_by_role("group", name="Compare with")).to_be_hidden()
    # Another job is shown without it.
    other = studio.submit(steps=2)
    page.goto(f"{studio.server}/#job={other['id']}")
    in_state(page, "succeeded")
    expect(slider).to_be_hidden()
