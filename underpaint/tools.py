"""Underpaint as tools of the Model Context Protocol, for assistants and editors. Needs the extra ``mcp``.

The tools call the HTTP API by this client, so that the command (stdio) and the API (streamable HTTP) serve the same
ones. A picture in the making cannot travel in a progress notification: its message names a resource that has it.
"""

import json
import logging
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from pydantic import Field

from contract.words import Format
from underpaint.asynchronous import AsyncUnderpaint
from underpaint.errors import NotFound, UnderpaintError
from underpaint.jobs import Job

Clients = Callable[[Context[Any, Any]], AsyncUnderpaint]
"""Makes the client that a call of a tool uses."""

FORMAT: Format = "webp"  # small, and shown by all clients that show pictures
HELD = 20.0  # s for which a look at a job is held

INSTRUCTIONS = """\
Makes pictures from text. `generate` returns the finished pictures; its progress names a resource with a rough but whole
picture long before. With wait=false it returns at once: look with `status`, keep the newest picture with `accept`, stop
with `cancel`, and sharpen a draft with `refine`."""

JobId = Annotated[str, Field(description="The id of a job, as `generate` returns it.")]


@contextmanager
def _logs_as_they_are() -> Generator[None]:
    """The SDK would send the logs of the whole program to a handler of its own, if there is none yet."""
    root, placeholder = logging.getLogger(), logging.NullHandler()
    root.addHandler(placeholder)
    try:
        yield
    finally:
        root.removeHandler(placeholder)


def serve(clients: Clients) -> MCPServer[Any]:
    """A server with all tools."""
    with _logs_as_they_are():
        server: MCPServer[Any] = MCPServer("underpaint", version=version("underpaint"), instructions=INSTRUCTIONS)

    @asynccontextmanager
    async def calling(context: Context[Any, Any]) -> AsyncGenerator[AsyncUnderpaint]:
        try:
            async with clients(context) as client:
                yield client
        except UnderpaintError as error:
            raise ToolError(str(error)) from error

    _add_making(server, calling)
    _add_control(server, calling)
    return server


Calling = Callable[[Context[Any, Any]], AbstractAsyncContextManager[AsyncUnderpaint]]


def _add_making(server: MCPServer[Any], calling: Calling) -> None:
    @server.tool(title="Make pictures", structured_output=False)
    async def generate(
        context: Context[Any, Any],
        prompt: Annotated[str, Field(description="What the picture shows.")],
        negative_prompt: Annotated[str | None, Field(description="What it does not show.")] = None,
        model: Annotated[str | None, Field(description="One of `list_models`; by default the first.")] = None,
        width: Annotated[int | None, Field(description="Pixels.")] = None,
        height: Annotated[int | None, Field(description="Pixels.")] = None,
        steps: Annotated[int | None, Field(description="Steps of the sampler; by default the model's.")] = None,
        seed: Annotated[int | None, Field(description="The same seed gives the same picture.")] = None,
        images: Annotated[int, Field(ge=1, description="How many pictures.")] = 1,
        draft: Annotated[bool, Field(description="Stop at the first whole picture. It can be refined later.")] = False,
        wait: Annotated[bool, Field(description="Wait for the finished pictures.")] = True,
    ) -> list[Any]:
        """Make pictures from a text. Returns the finished pictures and the job, or with wait=false only the job."""
        async with calling(context) as client:
            job = await client.submit(
                prompt,
                negative_prompt=negative_prompt,
                model=model,
                width=width,
                height=height,
                steps=steps,
                seed=seed,
                images=images,
                max_iterations=0 if draft else None,
            )
            if not wait:
                return [_told(job)]
            return await _followed(client, context, job)

    @server.tool(title="Continue a picture", structured_output=False)
    async def refine(
        context: Context[Any, Any],
        job: JobId,
        tolerance: Annotated[
            float | None, Field(ge=0, le=1, description="The estimated error to reach; 0 is exact.")
        ] = None,
    ) -> list[Any]:
        """Sharpen the pictures of a finished job, such as a draft. Returns them when they are finished."""
        async with calling(context) as client:
            return await _followed(client, context, await client.refine(job, tolerance=tolerance))


def _add_control(server: MCPServer[Any], calling: Calling) -> None:
    @server.tool(title="Look at a job", structured_output=False)
    async def status(context: Context[Any, Any], job: JobId) -> list[Any]:
        """The state of a job, and its newest pictures."""
        async with calling(context) as client:
            return await _shown(client, await client.job(job))

    @server.tool(title="Keep the newest picture", structured_output=False)
    async def accept(context: Context[Any, Any], job: JobId) -> list[Any]:
        """End a running job. Its newest pictures become the final ones."""
        async with calling(context) as client:
            return await _shown(client, await client.wait(await client.accept(job)))

    @server.tool(title="Cancel a job", structured_output=False)
    async def cancel(context: Context[Any, Any], job: JobId) -> list[Any]:
        """Stop a job. Its pictures are kept."""
        async with calling(context) as client:
            return [_told(await client.wait(await client.cancel(job)))]

    @server.tool(title="List the models", structured_output=False)
    async def list_models(context: Context[Any, Any]) -> list[Any]:
        """The models on offer, the default first, with their defaults and limits."""
        async with calling(context) as client:
            fields = {"id", "title", "description", "defaults", "limits", "example_prompts"}
            return [json.dumps([model.model_dump(mode="json", include=fields) for model in await client.models()])]

    @server.resource("underpaint://jobs/{job}/images/{image}/iterates/{iterate}", mime_type=f"image/{FORMAT}")
    async def picture(context: Context[Any, Any], job: str, image: int, iterate: str) -> bytes:
        """The picture of an iterate; `latest` is the newest one."""
        number = None if iterate == "latest" else int(iterate)
        try:
            async with calling(context) as client:
                return (await client.picture(job, image, number, format=FORMAT)).content
        except ToolError as error:
            raise ResourceNotFoundError(str(error)) from error


async def _followed(client: AsyncUnderpaint, context: Context[Any, Any], job: Job) -> list[Any]:
    """The pictures of a job when it has ended, with its progress until then. If the call is canceled, so is the job."""
    seen = -1
    try:
        while not job.ended:
            job = await client.job(job, wait=HELD)
            rounds = max(image.rounds for image in job.images)
            if job.state == "running" and rounds > seen:
                seen = rounds
                total = max(image.predicted_rounds or 0 for image in job.images)
                await context.report_progress(rounds, max(total, rounds) or None, _news(job))
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await client.cancel(job)
        raise
    return await _shown(client, job.raise_for_state())


def _news(job: Job) -> str:
    newest = max(job.images, key=lambda image: -1 if image.iterate is None else image.iterate)
    if newest.iterate is None:
        return "No picture yet"
    where = f"underpaint://jobs/{job.id}/images/{newest.number}/iterates/{newest.iterate}"
    return f"Iterate {newest.iterate} is a whole picture: {where}"


async def _shown(client: AsyncUnderpaint, job: Job) -> list[Any]:
    """What is told of a job, and the newest picture of each image that has one."""
    shown: list[Any] = [_told(job)]
    for image in job.images:
        if image.iterate is not None:
            try:
                picture = await client.picture(job, image.number, format=FORMAT)
            except NotFound:  # deleted, or never made
                continue
            shown.append(Image(data=picture.content, format=FORMAT))
    return shown


def _told(job: Job) -> str:
    """A job in a few lines of JSON."""
    return json.dumps(
        {
            "job": str(job.id),
            "state": job.state,
            "stopped": job.stopped,
            "error": job.error,
            "queue_position": job.queue_position,
            "warnings": [warning.model_dump() for warning in job.warnings],
            "images": [
                {"seed": image.seed, "iterate": image.iterate, "error_estimate": image.error_estimate}
                for image in job.images
            ],
        }
    )
