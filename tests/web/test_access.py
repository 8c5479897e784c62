"""The page without a mouse, on a phone, in the dark, and with a screen reader."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.pictures_in import picture
from tests.web.studio import LONG, SHORT, Studio, choose, in_state, paint, sees, set_up

PHONE: ViewportSize = {"width": 360, "height": 740}
DESKTOP: ViewportSize = {"width": 1440, "height": 900}

# Colours change in transitions, during which the contrast is lower.
SETTLED = """
Promise.allSettled(
    document.getAnimations().filter((each) => each instanceof CSSTransition).map((each) => each.finished))
"""


def faults(page: Page) -> list[str]:
    """What axe-core finds on a desktop and on a phone, light and dark, as `where: impact: rule at element`."""
    found: list[str] = []
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.evaluate(SETTLED)
            violations = Axe().run(page).response["violations"]
            where = f"{scheme}, {size['width']} wide"
            found += [
                f"{where}: {fault['impact']}: {fault['id']} at {node['target']}"
                for fault in violations
                for node in fault["nodes"]
            ]
    return found


def test_axe_finds_no_fault(studio: Studio, page: Page) -> None:
    assert faults(page) == []
    set_up(page, images=2)
    page.get_by_role("button", name="Key").click()
    assert faults(page) == []
    paint(page, **LONG)
    sees(page, 0)
    assert faults(page) == []
    page.get_by_role("button", name="Cancel").click()
    in_state(page, "canceled")
    paint(page, images=2, **SHORT)
    page.wait_for_url(lambda url: "job=" in url)
    in_state(page, "succeeded")
    page.get_by_text("All iterates as a table").click()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".before[src]")).to_be_visible()
    assert faults(page) == []
    paint(page, model="broken", steps=2, blocks="")
    in_state(page, "failed")
    assert faults(page) == []


def test_axe_finds_no_fault_with_a_picture_to_begin_with(studio: Studio, page: Page) -> None:
    studio.forgive("status of 422")
    choose(page, picture())
    expect(page.locator(".given")).to_be_visible()
    assert faults(page) == []
    page.get_by_role("button", name="Extend it").click()
    assert faults(page) == []
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Change only a part").click()
    page.locator(".stage canvas").press("Space")
    assert faults(page) == []
    page.get_by_role("button", name="Use this mask").click()
    expect(page.locator(".veil")).to_be_visible()
    assert faults(page) == []
    choose(page, b"GIF89a")
    expect(page.locator("#error-image")).not_to_be_empty()
    assert faults(page) == []


def test_the_theme_can_be_chosen_and_stays(studio: Studio, page: Page) -> None:
    def paper() -> str:
        return page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")

    button = page.get_by_role("button", name="Theme")
    light = paper()
    button.click()
    button.click()
    expect(button).to_have_text("Theme:\u00a0dark")
    dark = paper()
    assert dark != light
    page.reload()
    expect(button).to_have_text("Theme:\u00a0dark")
    assert paper() == dark


@pytest.mark.slow
def test_without_a_mouse(studio: Studio, page: Page) -> None:
    def tab_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.locator(":focus").evaluate("element => element.textContent").startswith(name):
                return
        raise AssertionError(f"no way to {name}")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to the prompt
    expect(page.get_by_label("What should it show?")).to_be_focused()
    page.keyboard.type("red heart")
    tab_to("Settings")
    page.keyboard.press("Enter")
    for name, value in LONG.items():
        while page.locator(":focus").get_attribute("name") != name:
            page.keyboard.press("Tab")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(str(value))
    page.keyboard.press("Enter")
    in_state(page, "running")
    sees(page, 1)
    while not page.locator(".film button:focus").count():  # of the filmstrip, the newest
        page.keyboard.press("Tab")
    page.keyboard.press("Home")
    expect(page.locator(".numbers dd").first).to_have_text("0")
    tab_to("Keep the newest")
    page.keyboard.press("Space")
    in_state(page, "succeeded")
    assert studio.job(page)["stopped"] == "accepted"


def test_what_happens_is_announced(page: Page) -> None:
    announced: list[str] = []
    page.expose_function("hear", lambda words: announced.append(words))
    page.locator("#announcer").evaluate(
        """announcer => {
          new MutationObserver(() => window.hear(announcer.textContent)).observe(announcer, {childList: true});
        }"""
    )
    paint(page, **SHORT)
    in_state(page, "succeeded")
    expect(page.locator("#announcer")).to_contain_text("Finished")
    assert any(words.startswith("Iterate") for words in announced), announced
    assert page.locator(".layer.on").get_attribute("alt") == "red heart: the finished picture"


@pytest.mark.slow
def test_on_a_phone(browser: Browser, server: str) -> None:
    with Studio.opened(browser, server, viewport=PHONE, has_touch=True, is_mobile=True) as studio:
        page = studio.open()
        page.get_by_role("button", name="rocket").tap()
        set_up(page, method="srds", seed=7, **LONG)
        page.get_by_role("button", name="Paint").tap()
        sees(page, 1)
        assert page.locator("html").evaluate("html => html.scrollWidth - html.clientWidth") == 0
        for control in page.locator("button:visible, summary:visible").all():
            box = control.bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= 24, box  # WCAG 2.2, success criterion 2.5.8
        page.get_by_role("button", name="Keep this one").tap()
        in_state(page, "succeeded")
