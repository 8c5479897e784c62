"""Pictures that are changed: by OpenAI's client, unchanged, and by jobs whose worker dies."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from tests.pictures_in import holed, mask, picture, saved
from tests.service.parts import Api, pixels
from tests.service.story import Story
from tests.tasks.jobs import Jobs
from tests.tasks.outside import Fleet
from underpaint import Underpaint

QUICK: dict[str, Any] = {"seed": 7, "steps": 8, "method": "serial"}
SLOW: dict[str, Any] = {"seed": 7, "steps": 50, "blocks": 10, "tolerance": 0.0, "method": "srds", "guidance_scale": 9}


@pytest.fixture
def client(api: Api) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{api.address}/v1", api_key="any", max_retries=0) as made:
        yield made


def differs(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float(np.abs(one - other).mean())


def given(plain: httpx.Client, job: str) -> dict[str, Any]:
    return plain.get(f"/v1/jobs/{job}").json()["request"]


def test_openai_edits_a_picture(client: openai.OpenAI, plain: httpx.Client) -> None:
    raw = client.images.with_raw_response.edit(
        image=("a.png", picture(), "image/png"), prompt="red heart", model="gpt-image-1", size="auto", n=2,
        input_fidelity="high", extra_body={**QUICK, "strength": 0.5},
    )  # fmt: skip
    answer = raw.parse()
    assert answer.data
    assert len(answer.data) == 2
    request = given(plain, raw.headers["underpaint-job"])
    assert (request["strength"], request["steps"], request["images"], request["mask"]) == (0.5, 8, 2, None)
    first, second = (pixels(each.b64_json) for each in answer.data)
    assert 0 < differs(first, pixels(picture())) < 80
    assert differs(first, second) > 1


@pytest.mark.parametrize("by", ["mask", "holes"])
def test_openai_paints_where_a_mask_is_transparent(client: openai.OpenAI, plain: httpx.Client, by: str) -> None:
    pizza = client.images.generate(prompt="pizza", extra_body=QUICK)
    assert pizza.data
    before = pixels(pizza.data[0].b64_json)
    image = Image.fromarray(before.astype(np.uint8))
    masks: dict[str, Any] = {"mask": ("mask.png", holed(), "image/png")} if by == "mask" else {}
    if by == "holes":
        image.putalpha(Image.open(io.BytesIO(holed())).getchannel("A"))
    raw = client.images.with_raw_response.edit(image=saved(image), prompt="red heart", extra_body=QUICK, **masks)
    answer = raw.parse()
    assert answer.data
    request = given(plain, raw.headers["underpaint-job"])
    assert request["strength"] == 1.0
    assert request["mask"]
    made = pixels(answer.data[0].b64_json)
    # Near the border of the mask the decoder mixes both.
    assert 2 * differs(made[:, 40:], before[:, 40:]) < differs(made[:, :24], before[:, :24])


def test_openai_streams_an_edit(client: openai.OpenAI) -> None:
    stream = client.images.edit(
        image=picture(), prompt="red heart", stream=True, partial_images=2, extra_body={**SLOW, "strength": 0.9}
    )
    events = list(stream)
    assert [event.type for event in events] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
    shown = [pixels(event.b64_json) for event in events]
    assert differs(shown[0], shown[2]) > differs(shown[1], shown[2])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client, about variations
def test_openai_varies_a_picture(client: openai.OpenAI, plain: httpx.Client) -> None:
    raw = client.images.with_raw_response.create_variation(
        image=picture(), n=1, response_format="url", extra_body=QUICK
    )
    (made,) = raw.parse().data or []
    assert differs(pixels(plain.get(made.url or "").content), pixels(picture())) > 0
    assert given(plain, raw.headers["underpaint-job"])["strength"] == 0.6


@pytest.mark.parametrize("name", ["image", "image[]"])
def test_open_webui_edits_a_picture(plain: httpx.Client, name: str) -> None:
    """backend/open_webui/routers/images.py, `image_edits` with engine `openai`: one picture, or a list of them."""
    fields = {"model": "emoji", "prompt": "red heart", "n": "1", "size": "512x512", "response_format": "b64_json"}
    files = [(name, ("4f2a.jpg", picture(form="JPEG"), "image/jpeg"))]
    headers = {"Authorization": "Bearer any"}
    answer = plain.post("/v1/images/edits?api-version=2025-04-01", data=fields, files=files, headers=headers)
    assert answer.status_code == 200, answer.text
    (made,) = answer.json()["data"]
    assert differs(pixels(made["b64_json"]), pixels(picture())) > 0
    request = given(plain, answer.headers["underpaint-job"])
    assert (request["width"], request["strength"]) == (64, 0.6)


def test_what_openai_cannot_edit_is_refused(client: openai.OpenAI, plain: httpx.Client) -> None:
    one = ("a.png", picture(), "image/png")
    for arguments, param, message in [
        ({"image": b"no picture"}, "image", "is no PNG"),
        ({"image": [one, one]}, "image", "may be at most 1"),
        ({"image": one, "mask": ("m.png", mask(32, 32), "image/png")}, "mask", "must have the size of the image"),
        ({"image": one, "extra_body": {"strength": 7}}, "strength", "must be at most 1"),
        ({"image": one, "extra_body": {"strenght": 1}}, "strenght", "is not a field"),
    ]:
        with pytest.raises(openai.BadRequestError) as raised:
            client.images.edit(**{"prompt": "x", **arguments})  # pyright: ignore[reportArgumentType, reportCallIssue]
        assert raised.value.param == param
        assert message in raised.value.message
    assert plain.post("/v1/images/edits", json={"prompt": "x"}).status_code == 415
    missing = plain.post("/v1/images/edits", data={"prompt": "x"}, files={"other": b"x"})
    assert missing.status_code == 400
    assert json.loads(missing.content)["error"]["param"] == "other"


def test_the_client_and_the_command_send_pictures(api: Api, plain: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "before.png"
    file.write_bytes(picture())
    with Underpaint(api.address) as ours:
        ids = {ours.upload(each) for each in (file, str(file), picture(), Image.open(file))}
    assert len(ids) == 1
    (tmp_path / "mask.png").write_bytes(mask())

    def ran(*arguments: str) -> Any:
        options = ["--steps", "8", "--seed", "7", "--json", "--no-draw", "--server", api.address, "-o", str(tmp_path)]
        command = [sys.executable, "-m", "cli", *arguments, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    job = ran("generate", "red", "heart", "--image", str(file), "--mask", str(tmp_path / "mask.png"))
    assert {job["request"]["image"]} == ids
    assert job["request"]["mask"]
    again = ran("edit", "last", "blue", "heart", "--strength", "0.8")["request"]
    latest = plain.get(f"/v1/jobs/{job['id']}/images/0/iterates/latest", headers={"Accept": "image/png"})
    kept = plain.get(f"/v1/jobs/{plain.get('/v1/jobs').json()['jobs'][0]['id']}/inputs/image")
    assert (pixels(kept.content) == pixels(latest.content)).all()
    assert (again["prompt"], again["strength"], again["mask"]) == ("blue heart", 0.8, None)


def test_a_model_looks_at_several_pictures(
    api: Api, client: openai.OpenAI, plain: httpx.Client, tmp_path: Path
) -> None:
    """By OpenAI's client, by ours and by the command: one request, one picture."""
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    for file, data in zip(files, (picture(64, 96), mask()), strict=True):
        file.write_bytes(data)
    raw = client.images.with_raw_response.edit(image=files, prompt="red heart", model="looking", extra_body={"seed": 7})
    theirs = pixels((raw.parse().data or [])[0].b64_json)
    job = raw.headers["underpaint-job"]
    request = given(plain, job)
    assert (request["image"], len(request["references"])) == (None, 2)
    assert (request["width"], request["height"]) == (64, 96)  # the shape of the first
    seen = [pixels(plain.get(f"/v1/jobs/{job}/inputs/{each}").content) for each in request["references"]]
    assert all((one == pixels(file.read_bytes())).all() for one, file in zip(seen, files, strict=True))
    with Underpaint(api.address) as ours:
        fields: dict[str, Any] = {"model": "looking", "seed": 7, "height": 96}
        made = [
            pixels(ours.generate("red heart", references=each, **fields)[0].content)
            for each in (files, [Image.open(files[0]), ours.upload(files[1])], files[::-1], [])
        ]
    assert differs(made[0], theirs) == differs(made[1], theirs) == 0
    assert differs(made[2], theirs) > 0
    assert differs(made[3], theirs) > 0
    options = ["--model", "looking", "--seed", "7", "--no-draw", "--server", api.address, "-o", str(tmp_path)]
    looked = [part for file in files for part in ("--reference", str(file))]
    command = [sys.executable, "-m", "cli", "generate", "red", "heart", *looked, *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert differs(pixels(Path(ran.stdout.split()[-1]).read_bytes()), theirs) == 0
    for wrong, field, message in [
        ({"model": "emoji", "references": [job]}, "references", "model emoji does not take it"),
        ({"model": "looking", "image": job}, "image", "model looking does not take it"),
        ({"model": "looking", "references": [job, "heart.png"]}, "references", "(picture 2) is no picture"),
        ({"model": "looking", "references": [job] * 11}, "references", "at most 10"),
        ({"model": "looking", "references": [7]}, "references", "is no picture"),
        ({"model": "looking", "references": job}, "references", "list"),
    ]:
        (problem,) = plain.post("/v1/jobs", json={"prompt": "x", **wrong}).json()["errors"]
        assert problem["field"].startswith(field)
        assert message in problem["message"]
    with pytest.raises(openai.BadRequestError, match="looking does not take it"):
        client.images.edit(image=files[0], mask=files[1], prompt="x", model="looking")


@pytest.mark.slow
def test_an_edit_goes_on_when_its_worker_is_killed(
    api: Api, fleet: Fleet, jobs: Jobs, plain: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    """And gives the same picture, though the upload is gone."""
    fleet.have(2)
    ids = [plain.post("/v1/uploads", content=data).json()["id"] for data in (picture(), mask())]
    request = {"prompt": "red heart", **SLOW, "steps": 100, "image": ids[0], "mask": ids[1]}
    undisturbed = api.submit(**request)
    assert [event.kind for event in api.follow(undisturbed)][-1] == "done"
    story = Story(api, pool, api.submit(**request))
    for each in ids:
        plain.delete(f"/v1/uploads/{each}")
    story.wait_for_iterate(0)
    fleet.kill(story.worker(jobs))
    assert [event.kind for event in api.follow(story.job)][-1] == "done"
    ended = plain.get(f"/v1/jobs/{story.job}").json()
    assert ended["state"] == "succeeded"
    finals = [plain.get(f"/v1/jobs/{job}/images/0/iterates/latest").content for job in (undisturbed, story.job)]
    assert differs(pixels(finals[0]), pixels(finals[1])) < 0.5
    assert jobs.wait(UUID(story.job), lambda job: job.state == "succeeded").attempt == 2
    fleet.have(1)
