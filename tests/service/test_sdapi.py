"""A1111's clients against the server and a worker with the shipped model: `webuiapi` itself, and the requests of Open
WebUI's image router and of SillyTavern's server, in their order, as their sources make them."""

import base64
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
import webuiapi
from PIL import Image

from contract import infotext
from tests.pictures_in import mask, picture
from tests.service.parts import Api
from tests.until import until

# It takes seconds, and its first iterate comes early.
LONG: dict[str, Any] = {"steps": 900, "seed": 7, "override_settings": {"sd_model_checkpoint": "slow"}}


@pytest.fixture
def webui(api: Api) -> Any:
    return webuiapi.WebUIApi(baseurl=f"{api.address}/sdapi/v1", sampler="Automatic", steps=8)


@pytest.fixture
def plain(api: Api) -> Iterator[httpx.Client]:
    with api.client() as made:
        yield made


def test_webuiapi(webui: Any) -> None:
    assert webui.util_get_current_model() in webui.util_get_model_names()
    webui.util_set_model("emoji")
    assert webui.util_get_sampler_names()[0] == "Automatic"
    assert webui.util_get_scheduler_names() == ["automatic"]
    for listed in (webui.get_loras, webui.get_sd_vae, webui.get_prompt_styles, webui.get_face_restorers):
        assert listed() == []
    assert webui.get_upscalers()[0]["name"] == "None"
    assert webui.get_embeddings()["loaded"] == {}
    assert set(webui.get_memory()) == {"ram", "cuda"}
    webui.refresh_checkpoints()
    webui.util_wait_for_ready()
    # What the client sends by default is far from what the model can make: 512 x 512 pixels.
    result = webui.txt2img(prompt="red heart", negative_prompt="blue", seed=7, batch_size=2)
    assert [picture.size for picture in result.images] == [(64, 64)] * 2
    assert result.info["all_seeds"] == [7, 8]
    assert {warning["field"] for warning in result.info["warnings"]} == {"width", "height"}
    again = webui.txt2img(prompt="red heart", negative_prompt="blue", seed=8, width=64, height=64)
    assert again.info["warnings"] == []
    assert np.abs(np.asarray(again.image).astype(int) - np.asarray(result.images[1])).max() <= 1
    said = infotext.read(again.info["infotexts"][0])
    assert (said["Prompt"], said["Negative prompt"], said["Seed"]) == ("red heart", "blue", "8")


def test_webuiapi_changes_a_picture(webui: Any, plain: httpx.Client) -> None:
    before = Image.open(io.BytesIO(picture(96, 96)))
    sent = {"images": [before], "prompt": "red heart", "seed": 7, "width": 64, "height": 64, "cfg_scale": 3}
    slight, strong = (webui.img2img(denoising_strength=each, **sent).image for each in (0.15, 0.9))
    scaled = np.asarray(before.resize((64, 64))).astype(int)
    assert np.abs(np.asarray(slight) - scaled).mean() < np.abs(np.asarray(strong) - scaled).mean()
    painted = webui.img2img(mask_image=Image.open(io.BytesIO(mask(96, 96))), inpainting_fill=1, **sent)
    assert painted.parameters["init_images"] is None
    assert painted.info["denoising_strength"] == 0.75
    far = np.abs(np.asarray(painted.image) - scaled).mean((0, 2))  # by column
    assert 2 * far[40:].mean() < far[:24].mean()
    assert {each["field"] for each in painted.info["warnings"]} == {"mask_blur", "inpaint_full_res"}
    request = plain.get("/v1/jobs").json()["jobs"][0]["request"]
    assert (request["strength"], request["steps"], bool(request["mask"])) == (0.75, 8, True)


def test_webuiapi_interrupts(webui: Any, plain: httpx.Client) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: webui.txt2img(prompt="red heart", **LONG))

        def begun() -> dict[str, Any] | None:
            shown = webui.get_progress()
            return shown if shown["current_image"] and shown["progress"] else None

        seen = until(begun)
        assert seen
        assert seen["progress"] < 1
        early = Image.open(io.BytesIO(base64.b64decode(seen["current_image"])))
        assert early.size == (64, 64)
        webui.interrupt()
        assert answer.result().image.size == (64, 64)
    job = plain.get("/v1/jobs").json()["jobs"][0]
    assert job["stopped"] in {"accepted", "converged"}  # it may have been quicker
    assert webui.get_progress()["state"]["job_count"] == 0


def test_open_webui(plain: httpx.Client) -> None:
    """backend/open_webui/routers/images.py, engine `automatic1111`, with its default settings."""
    headers = {"authorization": ""}
    assert plain.get("/sdapi/v1/options", headers=headers).status_code == 200  # "verify connection"
    listed = plain.get("/sdapi/v1/sd-models", headers=headers).json()
    assert [{"id": model["title"], "name": model["model_name"]} for model in listed] == [
        {"id": name, "name": name} for name in ("emoji", "slow", "looking")
    ]
    options = plain.get("/sdapi/v1/options", headers=headers).json()
    plain.post("/sdapi/v1/options", json={**options, "sd_model_checkpoint": "emoji"}, headers=headers)
    request = {"prompt": "red heart", "batch_size": 1, "width": 512, "height": 512, "steps": 50}
    answer = plain.post("/sdapi/v1/txt2img", json=request, headers=headers).json()
    assert len(answer["images"]) == 1
    assert Image.open(io.BytesIO(base64.b64decode(answer["images"][0]))).size == (64, 64)
    assert json.dumps({**request, "info": answer["info"]})  # what it keeps beside the picture


def test_sillytavern(plain: httpx.Client) -> None:
    """src/endpoints/stable-diffusion.js and the extension that calls it, without credentials."""
    headers = {"authorization": "Basic Og=="}
    for path in ("options", "upscalers", "latent-upscale-modes", "sd-vae", "samplers", "schedulers", "sd-models"):
        assert plain.get(f"/sdapi/v1/{path}", headers=headers).status_code == 200, path
    plain.post("/sdapi/v1/options", json={"sd_model_checkpoint": "emoji"}, headers=headers)
    idle = plain.get("/sdapi/v1/progress", headers=headers).json()
    assert idle["progress"] == 0
    assert idle["state"]["job_count"] == 0  # it waits until the model is loaded
    request = {
        "url": "http://localhost:8000",
        "auth": "",
        "prompt": "red heart",
        "negative_prompt": "blue",
        "sampler_name": "Euler",
        "scheduler": "automatic",
        "steps": 8,
        "cfg_scale": 7,
        "width": 512,
        "height": 512,
        "restore_faces": False,
        "enable_hr": False,
        "hr_upscaler": "Latent",
        "hr_scale": 1.5,
        "hr_additional_modules": [],
        "denoising_strength": 0.7,
        "hr_second_pass_steps": 0,
        "seed": -1,
        "override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": "", "forge_additional_modules": []},
        "override_settings_restore_afterwards": True,
        "clip_skip": 1,
        "save_images": True,
        "send_images": True,
        "do_not_save_grid": False,
        "do_not_save_samples": False,
    }
    answer = plain.post("/sdapi/v1/txt2img", json=request, headers=headers)
    assert len(answer.json()["images"]) == 1
    # Its user stops: it interrupts, and closes the connection.
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(plain.post, "/sdapi/v1/txt2img", json={**request, **LONG}, headers=headers)
        until(lambda: plain.get("/sdapi/v1/progress", headers=headers).json()["current_image"])
        assert plain.post("/sdapi/v1/interrupt", headers=headers).status_code == 200
        assert len(sent.result().json()["images"]) == 1
