"""The API of the web UI of AUTOMATIC1111 (`/sdapi/v1`), as far as its clients use it to make pictures.

Its clients were written against that program, so that they send whatever it takes. Fields that mean nothing here are
ignored, and values that the model cannot make become the nearest; ``warnings`` in ``info`` has both. The
OpenAPI document leaves its routes out: these clients bring their types.
"""

from typing import Any

from fastapi import Depends, FastAPI
from starlette.responses import Response

from api.guard import guard
from api.http import problem_json
from api.problems import Problem
from api.surface import Surface
from api.surfaces.openai import errors
from api.surfaces.sdapi import img2img, lists, picture_info, progress, txt2img


def _add_routes(app: FastAPI) -> None:
    for module in (txt2img, img2img, progress, lists, picture_info):
        app.include_router(module.router, dependencies=[Depends(guard)])


def _render(path: str, problem: Problem) -> Response:
    # Some clients show `detail`, Open WebUI the message of `error`.
    members: dict[str, Any] = {"error": errors.error(problem)}
    return problem_json.render(path, problem, **members)


SURFACE = Surface(
    name="sdapi",
    paths=("/sdapi/",),
    add_routes=_add_routes,
    render=_render,
    pictures_in={"/sdapi/v1/img2img": 2},
    max_body_bytes=picture_info.MAX_BODY_BYTES,
)
