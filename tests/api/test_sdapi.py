"""A1111's API without a model: what requests mean, and what its clients see of a job that a test runs by hand."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis
from PIL import Image, PngImagePlugin

from api.problems import NoSuchModel
from api.surfaces.sdapi import originals
from api.surfaces.sdapi.request import read
from contract import infotext
from contract.problems import InvalidFields
from store.catalog import Catalog, LoraCard
from tests.api.worker import Worker, png
from tests.pictures_in import picture, saved
from tests.until import until

PATH = "/sdapi/v1/txt2img"
HEART: dict[str, Any] = {"prompt": "red heart"}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def ask(client: httpx.Client, path: str) -> Any:
    answer = client.get(f"/sdapi/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def job_of(client: httpx.Client, number: int = 1) -> str:
    """The newest job, when there are so many."""

    def there() -> str | None:
        found = client.get("/v1/jobs").json()["jobs"]
        return found[0]["id"] if len(found) == number else None

    return until(there) or ""


@pytest.fixture
def wide(catalog: Catalog) -> Catalog:
    """A catalogue with a model of many sizes."""
    card = catalog.default
    limits = card.limits.model_copy(update={"max_size": 130, "max_images": 4, "max_steps": 60, "min_steps": 2})
    loras = [LoraCard(name="pixel", source="pixel.safetensors")]
    made = card.model_copy(update={"limits": limits, "aliases": ["sd15"], "loras": loras})
    return Catalog({card.id: made})


@pytest.mark.parametrize(
    ("sent", "made", "warned"),
    [
        ({"width": 512, "height": 70}, {"width": 128, "height": 72}, ["width", "height"]),
        ({"width": 64.0, "height": 128}, {"width": 64, "height": 128}, []),
        ({"steps": 150, "cfg_scale": 0}, {"steps": 60, "guidance_scale": 1.0}, ["steps", "cfg_scale"]),
        ({"steps": 1, "cfg_scale": 50}, {"steps": 2, "guidance_scale": 20.0}, ["steps", "cfg_scale"]),
        ({"steps": "20", "cfg_scale": "7.5"}, {"steps": 20, "guidance_scale": 7.5}, []),
        ({"batch_size": 2, "n_iter": 2}, {"images": 4}, []),
        ({"batch_size": 3, "n_iter": 3}, {"images": 4}, ["batch_size"]),
        ({"seed": 12}, {"seed": 12}, []),
        ({"seed": 2**32 - 1}, {"seed": 2**32 - 1}, []),
        ({"seed": 2**32 + 4}, {"seed": 4}, ["seed"]),
        ({"sampler_name": "DPM++ 2M Karras"}, {"solver": "dpm++"}, []),
        ({"sampler_index": "Euler"}, {"solver": "euler"}, []),
        ({"sampler_name": "ddim", "eta": 1.0}, {"solver": "ddim", "eta": 1.0}, []),
        ({"sampler_name": "Heun", "eta": 1.0}, {"solver": "heun", "eta": 0.0}, []),
        ({"sampler_name": "Automatic", "scheduler": "automatic"}, {"solver": None}, []),
        ({"sampler_name": "Euler a"}, {"solver": None}, ["sampler_name"]),
        ({"sampler_name": "Heun", "scheduler": "Karras"}, {"solver": "heun"}, ["scheduler"]),
        ({"prompt": "x" * 301}, {"prompt": "x" * 300}, ["prompt"]),
        (
            {"prompt": "cat <lora:pixel:0.5>, blue <lora:other>"},
            {"prompt": "cat, blue", "loras": [{"name": "pixel", "scale": 0.5}]},
            ["prompt"],
        ),
        ({"enable_hr": True, "styles": ["photo"]}, {}, ["enable_hr", "styles"]),
        ({"enable_hr": False, "styles": [], "colour": 3, "negative_prompt": None}, {"negative_prompt": ""}, []),
        ({"override_settings": {"sd_model_checkpoint": "emoji.safetensors [0123abc]"}}, {"model": "emoji"}, []),
        ({"override_settings": {"sd_model_checkpoint": "sd15"}}, {"model": "emoji"}, []),
        ({"override_settings": {"sd_vae": "other", "sd_model_checkpoint": ""}}, {"model": "emoji"}, []),
    ],
)
def test_what_a_request_means(wide: Catalog, sent: dict[str, Any], made: dict[str, Any], warned: list[str]) -> None:
    wanted = read(wide, {**HEART, **sent})
    resolved = wanted.generation.model_dump()
    assert {name: resolved[name] for name in made} == made
    assert [warning.field for warning in wanted.warnings] == warned


def test_a_seed_of_minus_one_is_drawn(wide: Catalog) -> None:
    seeds = {read(wide, {**HEART, "seed": -1}).generation.seed for _ in range(3)}
    assert len(seeds) > 1


def test_what_is_refused(wide: Catalog, client: httpx.Client) -> None:
    for sent, field in (({"prompt": " "}, "prompt"), ({"batch_size": 0}, "batch_size"), ({"steps": "many"}, "steps")):
        with pytest.raises(InvalidFields, match=field):
            read(wide, {**HEART, **sent})
    with pytest.raises(NoSuchModel):
        read(wide, {**HEART, "override_settings": {"sd_model_checkpoint": "other"}})
    answer = client.post(PATH, json={})
    assert answer.status_code == 422
    # Clients show one of these.
    assert answer.json()["detail"] == answer.json()["error"]["message"]
    assert answer.json()["detail"].startswith("prompt must not be blank")


def test_the_lists_that_clients_ask_for(client: httpx.Client) -> None:
    assert ask(client, "options")["sd_model_checkpoint"] == "emoji"
    assert [model["title"] for model in ask(client, "sd-models")] == ["emoji"]
    assert [sampler["name"] for sampler in ask(client, "samplers")][:2] == ["Automatic", "DDIM"]
    assert [scheduler["label"] for scheduler in ask(client, "schedulers")] == ["Automatic"]
    assert [upscaler["name"] for upscaler in ask(client, "upscalers")] == ["None"]
    for path in ("loras", "sd-vae", "latent-upscale-modes", "hypernetworks", "face-restorers", "prompt-styles"):
        assert ask(client, path) == []
    assert ask(client, "embeddings") == {"loaded": {}, "skipped": {}}
    assert ask(client, "memory").keys() == {"ram", "cuda"}
    assert ask(client, "cmd-flags") == {}
    for path in ("options", "refresh-checkpoints", "unload-checkpoint", "reload-checkpoint"):
        assert client.post(f"/sdapi/v1/{path}", json={"sd_model_checkpoint": "other"}).status_code == 200
    assert ask(client, "options")["sd_model_checkpoint"] == "emoji"


def test_progress_shows_the_newest_iterate(client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor) -> None:
    idle = ask(client, "progress")
    assert (idle["progress"], idle["state"]["job_count"], idle["current_image"]) == (0, 0, None)
    answer = pool.submit(client.post, PATH, json={**HEART, "seed": 7, "batch_size": 2})
    job = job_of(client)
    until(lambda: ask(client, "progress")["state"]["job"] == job)
    assert ask(client, "progress")["progress"] == 0
    worker.claim(job)
    for image in (0, 1):
        worker.start(job, image)
    worker.save(job, 0, png(1))
    worker.save(job, 0, png(9), image=1)
    worker.save(job, 1, png(2))
    seen = ask(client, "progress")
    assert base64.b64decode(seen["current_image"]) == png(2)
    assert seen["progress"] == pytest.approx((14 / 18 + 10 / 18) / 2)
    assert (seen["state"]["sampling_step"], seen["state"]["sampling_steps"]) == (14, 18)
    assert seen["eta_relative"] > 0
    assert ask(client, "progress?skip_current_image=true")["current_image"] is None
    for image in (0, 1):
        worker.save(job, 2, png(3 + image), image, final=True)
    worker.finish(job, images=2)
    body = answer.result().json()
    assert [base64.b64decode(picture) for picture in body["images"]] == [png(3), png(4)]
    assert body["parameters"] == {**HEART, "seed": 7, "batch_size": 2}
    info = json.loads(body["info"])
    assert (info["all_seeds"], info["width"], len(info["infotexts"])) == ([7, 8], 64, 2)
    said = infotext.read(info["infotexts"][1])
    assert (said["Prompt"], said["Seed"], said["Iterate"], said["Job"]) == ("red heart", "8", "2", job)
    assert ask(client, "progress")["state"]["job_count"] == 0


def test_interrupt_keeps_the_newest_iterate(client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor) -> None:
    assert client.post("/sdapi/v1/interrupt").json() == {}  # nothing to interrupt
    answer = pool.submit(client.post, PATH, json=HEART)
    job = job_of(client)
    worker.claim(job)
    worker.start(job)
    worker.save(job, 0, png(1))
    until(lambda: ask(client, "progress")["current_image"])
    assert client.post("/sdapi/v1/interrupt").json() == {}
    assert client.get(f"/v1/jobs/{job}").json()["accept_requested"]
    assert ask(client, "progress")["state"]["interrupted"]
    worker.finish(job, "accepted")
    assert base64.b64decode(answer.result().json()["images"][0]) == png(1)


def test_interrupt_cancels_what_has_no_picture(client: httpx.Client, pool: ThreadPoolExecutor) -> None:
    other = client.post("/v1/jobs", json=HEART).json()["id"]  # of another door
    answer = pool.submit(client.post, PATH, json=HEART)
    job = job_of(client, 2)
    until(lambda: ask(client, "progress")["state"]["job"] == job)
    client.post("/sdapi/v1/skip")
    assert answer.result().status_code == 409
    assert answer.result().json()["type"].endswith("generation-canceled")
    assert [client.get(f"/v1/jobs/{each}").json()["state"] for each in (job, other)] == ["canceled", "queued"]


def test_a_client_that_leaves_cancels_its_job(client: httpx.Client) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.post(PATH, json=HEART, timeout=1)
    job = job_of(client)
    until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "canceled")
    until(lambda: ask(client, "progress")["state"]["job_count"] == 0)


def test_pictures_are_not_sent_if_they_are_not_wanted(
    client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor
) -> None:
    answer = pool.submit(client.post, PATH, json={**HEART, "send_images": False})
    worker.run(job_of(client))
    assert answer.result().json()["images"] == []
    assert json.loads(answer.result().json()["info"])["prompt"] == "red heart"


def test_the_key_is_the_password(holder: Callable[..., httpx.Client]) -> None:
    client = holder("one")
    key = client.headers.pop("Authorization").removeprefix("Bearer ")
    assert client.get("/sdapi/v1/options").status_code == 401
    assert client.get("/sdapi/v1/options", auth=("any", key)).status_code == 200
    assert client.get("/sdapi/v1/options", auth=("any", "wrong")).status_code == 401
    for malformed in ("Basic", "Basic !", "Basic /w=="):
        assert client.get("/sdapi/v1/options", headers={"Authorization": malformed}).status_code == 401


def test_progress_and_interrupt_are_about_the_jobs_of_the_key(
    holder: Callable[..., httpx.Client], pool: ThreadPoolExecutor
) -> None:
    one, two = holder("one"), holder("two")
    answer = pool.submit(one.post, PATH, json=HEART)
    job = job_of(one)
    until(lambda: ask(one, "progress")["state"]["job"] == job)
    assert ask(two, "progress")["state"]["job_count"] == 0
    two.post("/sdapi/v1/interrupt")
    assert one.get(f"/v1/jobs/{job}").json()["state"] == "queued"
    one.post("/sdapi/v1/interrupt")
    assert answer.result().status_code == 409


def test_progress_survives_what_others_put_into_redis(
    client: httpx.Client, valkey: redis.Redis, pool: ThreadPoolExecutor
) -> None:
    valkey.set("underpaint:held:nobody", "mine")
    assert ask(client, "progress")["progress"] == 0
    answer = pool.submit(client.post, PATH, json=HEART)
    job = job_of(client)
    until(lambda: ask(client, "progress")["state"]["job"] == job)
    valkey.zadd("underpaint:held:nobody", {"nonsense": 0})
    client.post("/sdapi/v1/interrupt")
    assert answer.result().status_code == 409


def test_png_info(client: httpx.Client) -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("parameters", "cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Seed: 3, Size: 512x768")
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "png", pnginfo=said)
    for prefix in ("", "data:image/png;base64,"):
        picture = prefix + base64.b64encode(out.getvalue()).decode()
        found = client.post("/sdapi/v1/png-info", json={"image": picture}).json()
        assert found["info"].startswith("cat\n")
        assert found["parameters"]["Size-2"] == "768"
    plain = base64.b64encode(png()).decode()
    assert client.post("/sdapi/v1/png-info", json={"image": plain}).json()["info"] == ""
    for wrong in ("", "!", base64.b64encode(b"no picture").decode(), 7):
        assert client.post("/sdapi/v1/png-info", json={"image": wrong}).status_code == 422


IMG2IMG = "/sdapi/v1/img2img"


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def halves(left: Any, right: Any, mode: str = "RGB", size: tuple[int, int] = (64, 64)) -> Image.Image:
    made = Image.new(mode, size, right)
    made.paste(left, (0, 0, size[0] // 2, size[1]))
    return made


@pytest.fixture
def begun(client: httpx.Client, pool: ThreadPoolExecutor) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Sends a request that begins with a picture. Returns the job's request, its warnings and its pictures."""

    def send(**fields: Any) -> tuple[Any, dict[str, Any]]:
        before = len(client.get("/v1/jobs").json()["jobs"])
        pool.submit(client.post, IMG2IMG, json={**HEART, **fields})
        job = client.get(f"/v1/jobs/{job_of(client, before + 1)}").json()
        shown = {
            name: Image.open(io.BytesIO(client.get(f"/v1/jobs/{job['id']}/inputs/{name}").content))
            for name in ("image", "mask")
            if job["request"][name]
        }
        client.post(f"/v1/jobs/{job['id']}/cancel")
        return job, shown

    return send


def test_img2img_begins_with_a_picture(begun: Callable[..., tuple[Any, dict[str, Any]]]) -> None:
    sent = in_base64(saved(halves("red", "blue", size=(128, 64))))
    job, shown = begun(init_images=[f"data:image/png;base64,{sent}", sent], width=512, height=64, cfg_scale=5)
    assert (job["request"]["strength"], job["request"]["guidance_scale"]) == (0.75, 5)
    assert [warning["field"] for warning in job["warnings"]] == ["width", "init_images"]
    assert shown["image"].size == (64, 64)  # stretched: both halves are there
    assert [shown["image"].getpixel((x, 32)) for x in (20, 44)] == [(255, 0, 0), (0, 0, 255)]
    job, shown = begun(init_images=[in_base64(picture(form="JPEG"))], denoising_strength=0, resize_mode=3)
    assert job["request"]["strength"] == 0.02  # of 50 steps one
    assert [warning["field"] for warning in job["warnings"]] == ["denoising_strength", "resize_mode"]


def test_masks_of_img2img(begun: Callable[..., tuple[Any, dict[str, Any]]]) -> None:
    image, white = in_base64(saved(halves("red", "blue"))), saved(halves(255, 0, "L", (32, 32)))
    holed = saved(halves((9, 9, 9, 255), (9, 9, 9, 0), "RGBA"))
    for mask, invert, painted in ((white, 0, "left"), (white, 1, "right"), (holed, 0, "left")):
        fields = {"mask": in_base64(mask), "inpainting_mask_invert": invert, "inpainting_fill": 1}
        job, shown = begun(init_images=[image], mask_blur=4, inpaint_full_res=True, **fields)
        assert [shown["mask"].convert("L").getpixel((x, 9)) for x in (31, 32)] == (
            [255, 0] if painted == "left" else [0, 255]
        )
        assert [warning["field"] for warning in job["warnings"]] == ["mask_blur", "inpaint_full_res"]
        assert shown["image"].getpixel((9, 9)) == (255, 0, 0)
    _, shown = begun(init_images=[image], mask=in_base64(white), inpainting_fill=0)
    assert shown["image"].getpixel((9, 9)) == (0, 0, 255)  # covered by what is around
    job, _ = begun(init_images=[image], mask=in_base64(white), inpainting_fill=2)
    assert [warning["field"] for warning in job["warnings"]] == ["inpainting_fill"]


def test_what_img2img_answers(client: httpx.Client, worker: Worker, pool: ThreadPoolExecutor) -> None:
    for number, include in ((1, False), (2, True)):
        image = in_base64(picture())
        sent = {**HEART, "init_images": [image], "denoising_strength": 0.5, "include_init_images": include}
        answer = pool.submit(client.post, IMG2IMG, json=sent)
        job = job_of(client, number)
        until(lambda job=job: ask(client, "progress")["state"]["job"] == job)
        worker.run(job)
        body = answer.result().json()
        assert base64.b64decode(body["images"][0]) == png(2)
        assert body["parameters"]["init_images"] == ([image] if include else None)
        info = json.loads(body["info"])
        assert info["denoising_strength"] == 0.5
        assert infotext.read(info["infotexts"][0])["Denoising strength"] == "0.5"


def test_what_img2img_refuses(client: httpx.Client) -> None:
    good = in_base64(picture())
    for sent, field, message in [
        ({}, "init_images", "is required"),
        ({"init_images": []}, "init_images", "is required"),
        ({"init_images": ["!"]}, "init_images", "is no picture in base64"),
        ({"init_images": [in_base64(b"text")]}, "init_images", "is no PNG"),
        ({"init_images": ["http://127.0.0.1/picture.png"]}, "init_images", "is no picture in base64"),
        ({"init_images": good}, "init_images", "list"),
        ({"init_images": [good], "mask": in_base64(b"text")}, "mask", "is no PNG"),
        ({"init_images": [good], "mask": in_base64(saved(Image.new("L", (64, 64))))}, "mask", "paints nothing"),
        ({"init_images": [good], "resize_mode": 4}, "resize_mode", "must be"),
        ({"init_images": [good], "denoising_strength": "much"}, "denoising_strength", "must be"),
    ]:
        answer = client.post(IMG2IMG, json={**HEART, **sent})
        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert problem["field"] == field
        assert message in problem["message"]


@pytest.mark.parametrize(
    ("mode", "size", "seen"),
    [
        (originals.STRETCH, (64, 64), ["red", "red", "blue", "blue"]),
        (originals.CROP, (32, 64), ["red", "red", "blue", "blue"]),
        (originals.FILL, (96, 32), ["red", "red", "blue", "blue"]),
        (originals.FILL, (64, 96), ["red", "red", "blue", "blue"]),
    ],
)
def test_how_a_picture_is_scaled(mode: int, size: tuple[int, int], seen: list[str]) -> None:
    made = originals.image(halves("red", "blue"), size, mode)
    assert made.size == size
    named = {(255, 0, 0): "red", (0, 0, 255): "blue"}
    width = size[0]
    for row in (0, size[1] - 1):
        found = [made.getpixel((x, row)) for x in (0, width // 4, width - width // 4 - 1, width - 1)]
        assert [named[pixel] for pixel in found] == seen  # pyright: ignore[reportArgumentType]


def test_a_transparent_picture_is_put_on_white() -> None:
    made = originals.image(Image.new("RGBA", (8, 8), (200, 0, 0, 0)), (8, 8), originals.CROP)
    assert made.getpixel((3, 3)) == (255, 255, 255)


def test_a_full_mask_leaves_the_picture() -> None:
    before = halves("red", "blue")
    assert originals.covered(before, Image.new("L", before.size, 255)).tobytes() == before.tobytes()
