"""What clients list before they make a picture. Lists of what this server does not have are empty."""

from typing import Any

from fastapi import APIRouter

from api.guard import WithCaller
from api.services import WithServices
from contract.infotext import AUTOMATIC, SAMPLERS

EMPTY = (
    "latent-upscale-modes",
    "sd-vae",
    "sd-modules",
    "hypernetworks",
    "face-restorers",
    "realesrgan-models",
    "prompt-styles",
    "script-info",
    "extensions",
)
OBJECTS: dict[str, dict[str, Any]] = {
    "embeddings": {"loaded": {}, "skipped": {}},
    "cmd-flags": {},
    "scripts": {"txt2img": [], "img2img": []},
    "memory": {"ram": {"error": "not told"}, "cuda": {"error": "not told"}},
}
DONE_ALREADY = ("refresh-checkpoints", "refresh-vae", "refresh-loras", "unload-checkpoint", "reload-checkpoint")

router = APIRouter(prefix="/sdapi/v1", include_in_schema=False)


@router.get("/options")
async def options(services: WithServices) -> dict[str, Any]:
    """The settings that clients read."""
    return {
        "sd_model_checkpoint": services.catalog.default.id,
        "sd_checkpoint_hash": None,
        "sd_vae": AUTOMATIC,
        "samples_format": "png",
        "CLIP_stop_at_last_layers": 1,
        "show_progress_every_n_steps": 1,
    }


@router.post("/options")
async def set_options(caller: WithCaller) -> dict[str, Any]:
    """Keeps nothing: options of one client would change the pictures of others. ``override_settings`` of a request
    names its model."""
    return {}


@router.get("/sd-models")
async def models(services: WithServices) -> list[dict[str, Any]]:
    """The models on offer, the default first."""
    return [
        {"title": card.id, "model_name": card.id, "hash": None, "sha256": None, "filename": card.id, "config": None}
        for card in services.catalog.values()
    ]


@router.get("/loras")
async def loras(services: WithServices) -> list[dict[str, Any]]:
    """The LoRA of all models. A prompt names one as ``<lora:NAME:SCALE>``."""
    names = dict.fromkeys(lora.name for card in services.catalog.values() for lora in card.loras)
    return [{"name": name, "alias": name, "path": name, "metadata": {}} for name in names]


@router.get("/samplers")
async def samplers() -> list[dict[str, Any]]:
    """The solvers, and that of the model."""
    automatic = {"name": AUTOMATIC, "aliases": [], "options": {}}
    return [automatic, *({"name": name, "aliases": aliases, "options": {}} for name, *aliases in SAMPLERS.values())]


@router.get("/schedulers")
async def schedulers() -> list[dict[str, Any]]:
    """Every model has a schedule of its own."""
    return [
        {"name": "automatic", "label": AUTOMATIC, "aliases": None, "default_rho": -1, "need_inner_model": False},
    ]


@router.get("/upscalers")
async def upscalers() -> list[dict[str, Any]]:
    """None. Clients expect it in the list by this name."""
    return [{"name": "None", "model_name": None, "model_path": None, "model_url": None, "scale": 4}]


def _constant(value: Any) -> Any:
    async def answer() -> Any:
        return value

    return answer


for _name in EMPTY:
    router.add_api_route(f"/{_name}", _constant([]), methods=["GET"])
for _name, _value in OBJECTS.items():
    router.add_api_route(f"/{_name}", _constant(_value), methods=["GET"])
for _name in DONE_ALREADY:
    router.add_api_route(f"/{_name}", _constant({}), methods=["POST"])
