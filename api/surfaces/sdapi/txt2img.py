"""Text to image, and the answer that A1111's clients read."""

import json
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from api.auth.caller import Caller
from api.encoding.formats import PNG
from api.guard import WithCaller
from api.http.body import JsonBody, is_json
from api.jobs import control
from api.jobs.lookup import wait_for_end
from api.jobs.submit import submit
from api.links import Links
from api.pictures.outcome import Outcome, encoded, outcome
from api.services import Services, WithLinks, WithServices
from api.surfaces.sdapi.request import Wanted, read
from contract.fields import Generation
from contract.infotext import AUTOMATIC, SAMPLERS
from store import held
from store.pictures.marks import Made, software

TIMESTAMP = "%Y%m%d%H%M%S"

router = APIRouter(prefix="/sdapi/v1", include_in_schema=False)


@router.post("/txt2img", dependencies=[Depends(is_json)])
async def txt2img(
    body: JsonBody, request: Request, services: WithServices, caller: WithCaller, links: WithLinks
) -> Response:
    """Submits a job and responds when it has ended. A client that disconnects before that cancels it."""
    return await run(request, services, caller, links, read(services.catalog, body), body)


async def run(
    request: Request, services: Services, caller: Caller, links: Links, wanted: Wanted, body: dict[str, Any]
) -> Response:
    """Run a job and respond with its pictures. ``body`` is the request, which the answer repeats.

    Raises:
        GenerationFailed, GenerationCanceled: there are no pictures.
    """
    job = (
        await submit(
            services,
            caller,
            links,
            wanted.generation,
            wanted.handling,
            changed=wanted.warnings,
            pictures=wanted.pictures,
        )
    ).job
    headers = {"Underpaint-Job": str(job)}
    await held.add(services.redis, caller.key_id, job)
    try:
        if not await wait_for_end(services, request, job):
            await control.abandon(services, job)
            return Response(headers=headers)  # the client has disconnected, and does not read this
        ended = await outcome(services, job)
    finally:
        await held.remove(services.redis, caller.key_id, job)
    pictures = zip(ended.images, ended.found, strict=True)
    sent = [await encoded(services, job, image.number, found, PNG) for image, found in pictures if wanted.send]
    answer = {"images": sent, "parameters": body, "info": json.dumps(_info(ended))}
    return JSONResponse(answer, headers={"Cache-Control": "no-store", **headers})


def _info(ended: Outcome) -> dict[str, Any]:
    """What A1111 tells about finished pictures, and the ``warnings`` of the job."""
    generation = Generation.model_validate(ended.job.generation)
    many = len(ended.images)
    texts = [
        Made(ended.job.id, image.number, found.iterate, image.seed, image.method, generation).text
        for image, found in zip(ended.images, ended.found, strict=True)
    ]
    return {
        "prompt": generation.prompt,
        "all_prompts": [generation.prompt] * many,
        "negative_prompt": generation.negative_prompt,
        "all_negative_prompts": [generation.negative_prompt] * many,
        "seed": generation.seed,
        "all_seeds": [image.seed for image in ended.images],
        "subseed": generation.seed,
        "all_subseeds": [image.seed for image in ended.images],
        "subseed_strength": 0,
        "width": generation.width,
        "height": generation.height,
        "sampler_name": AUTOMATIC if generation.solver is None else SAMPLERS[generation.solver][0],
        "cfg_scale": generation.guidance_scale,
        "steps": generation.steps,
        "batch_size": many,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": generation.model,
        "sd_model_hash": None,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": generation.strength,
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": texts,
        "styles": [],
        "job_timestamp": ended.job.created_at.strftime(TIMESTAMP),
        "clip_skip": 1,
        "is_using_inpainting_conditioning": False,
        "version": software(),
        "warnings": ended.job.warnings,
    }
