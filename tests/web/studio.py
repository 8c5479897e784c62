"""A browser context and actions on the page, for its tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

TIMEOUT = 200_000  # ms; less than the timeout of pytest, since the message of Playwright has what was expected

# Many iterates, so that a job does not end while a test looks at the first ones, each of few evaluations.
LONG: dict[str, Any] = {"steps": 400, "blocks": 40, "tolerance": 0}
# Six iterates in few steps.
SHORT: dict[str, Any] = {"steps": 12, "blocks": 5, "tolerance": 0}

# Records each picture that the page displays.
WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", ({violatedDirective, blockedURI}) =>
  violations.push(`${violatedDirective} ${blockedURI}`));
window.pictures = [];
addEventListener("DOMContentLoaded", () => {
  const canvas = document.querySelector(".canvas");
  if (canvas) new MutationObserver(() => {
    const on = canvas.querySelector(".layer.on");
    if (on) pictures.push({iterate: Number(canvas.dataset.iterate), src: on.src, side: on.naturalWidth});
  }).observe(canvas, {attributes: true, attributeFilter: ["data-iterate"]});
});
"""


class Studio:
    """A browser context for the page of a server."""

    def __init__(self, context: BrowserContext, server: str) -> None:
        self.context = context
        self.server = server
        self.wrong: list[str] = []
        self.forgiven: tuple[str, ...] = ()
        self.api = httpx.Client(base_url=server, trust_env=False, timeout=None)
        context.add_init_script(WATCH)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.wrong.append(str(error.error)))
        context.on("request", lambda request: self._request(request.url))

    @classmethod
    @contextmanager
    def opened(cls, browser: Browser, server: str, **options: Any) -> Iterator[Self]:
        """A context that is closed at the end. Fails if it has seen errors."""
        with browser.new_context(**options) as context:
            context.set_default_timeout(TIMEOUT)
            studio = cls(context, server)
            try:
                yield studio
                for page in context.pages:
                    studio.wrong += page.evaluate("window.violations ?? []")
            finally:
                studio.cancel_all()
                studio.api.close()
        assert studio.wrong == []

    def open(self, path: str = "/") -> Page:
        """A new tab."""
        page = self.context.new_page()
        page.goto(self.server + path)
        expect(page.locator(".chip").first).to_be_attached()
        return page

    def forgive(self, *messages: str) -> None:
        """Ignores console messages that contain one of these texts."""
        self.forgiven = messages

    def submit(self, prompt: str = "red heart", **request: Any) -> dict[str, Any]:
        """Submits a job by the API."""
        answer = self.api.post("/v1/jobs", json={"prompt": prompt, "method": "srds", "seed": 7, **request})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def has_iterate(self, job: dict[str, Any], iterate: int) -> None:
        """Waits until a job has this iterate."""
        path = f"/v1/jobs/{job['id']}/images/0/iterates/{iterate}"
        while not self.api.get(path, params={"wait": 20}).is_success:
            pass  # an iterate takes minutes on a busy machine; pytest's timeout ends a wait in vain

    def job(self, page: Page) -> dict[str, Any]:
        """The document of the job that a tab shows."""
        return self.api.get(f"/v1/jobs/{page.url.split('job=')[1]}").raise_for_status().json()

    def cancel_all(self) -> None:
        """Cancels all jobs, so that none runs in the next test."""
        for state in ("queued", "running"):
            for job in self.api.get("/v1/jobs", params={"state": state, "limit": 100}).json()["jobs"]:
                self.api.post(f"/v1/jobs/{job['id']}/cancel")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(known in message.text for known in self.forgiven):
            self.wrong.append(message.text)

    def _request(self, url: str) -> None:
        if not url.startswith((self.server, "blob:")):
            self.wrong.append(f"asked another server: {url}")


def set_up(page: Page, **settings: Any) -> None:
    """Fills in settings."""
    if not page.locator(".settings").is_visible():
        page.get_by_text("Settings", exact=True).click()
    for name, value in settings.items():
        field = page.locator(f"#field-{name}") if name != "model" else page.locator("#model")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))


def paint(page: Page, prompt: str = "red heart", **settings: Any) -> None:
    """Submits a job by the form."""
    set_up(page, **{"method": "srds", "seed": 7, **settings})
    page.get_by_label("What should it show?").fill(prompt)
    page.get_by_role("button", name="Paint").click()
    in_state(page, "queued", "running", "succeeded", "failed")


def in_state(page: Page, *states: str) -> None:
    """Waits until the page shows a job in one of these states."""
    page.locator(", ".join(f'#easel[data-state="{state}"]' for state in states)).wait_for()


def sees(page: Page, iterate: int) -> None:
    """Waits until the picture of this iterate, or of a later one, is displayed."""
    page.locator(", ".join(f'.canvas[data-iterate="{later}"]' for later in range(iterate, iterate + 60))).wait_for()


def film(page: Page) -> list[int]:
    """The iterates on the filmstrip."""
    return page.locator(".film li").evaluate_all("items => items.map((item) => Number(item.dataset.iterate))")


def choose(page: Page, file: bytes) -> None:
    """Chooses a file as the picture to begin with."""
    chooser = page.locator(".begin input[type=file]")
    chooser.set_input_files({"name": "a file.png", "mimeType": "image/png", "buffer": file})
