"""The tools of the Model Context Protocol, used by the client of the official SDK: by stdio and by HTTP."""

import io
import json
import os
import sys
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.types import BlobResourceContents, ImageContent, TextContent
from PIL import Image

from tests.service.parts import Api
from tests.until import until

TOOLS = {"generate", "refine", "status", "accept", "cancel", "list_models"}
LONG = {"prompt": "red heart", "model": "slow", "seed": 7}


@pytest.fixture(params=["stdio", "http"])
def connect(api: Api, request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Connects the client of the SDK with a server."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[Client]:
        if request.param == "http":
            async with Client(f"{api.address}/mcp") as client:
                yield client
            return
        command = StdioServerParameters(
            command=sys.executable,
            args=["-m", "cli", "mcp", "--server", api.address],
            env={**os.environ},
        )
        async with Client(stdio_client(command)) as client:
            yield client

    return connected


@pytest.fixture
def plain(api: Api) -> Iterator[httpx.Client]:
    with api.client() as made:
        yield made


def run(connect: Callable[[], Any], story: Callable[[Client], Awaitable[None]]) -> None:
    async def told() -> None:
        async with connect() as client:
            await story(client)

    anyio.run(told)


def said(result: Any) -> Any:
    """What a tool has told, as JSON."""
    assert not result.is_error, result.content
    assert isinstance(result.content[0], TextContent)
    return json.loads(result.content[0].text)


def sizes(result: Any) -> list[tuple[int, int]]:
    pictures = [content for content in result.content if isinstance(content, ImageContent)]
    return [Image.open(io.BytesIO(b64decode(picture.data))).size for picture in pictures]


def test_pictures_and_drafts(connect: Callable[[], Any]) -> None:
    async def story(client: Client) -> None:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        assert said(await client.call_tool("list_models", {}))[0]["id"] == "emoji"
        draft = await client.call_tool(
            "generate", {"prompt": "red heart", "seed": 7, "steps": 50, "images": 2, "draft": True}
        )
        assert (said(draft)["stopped"], sizes(draft)) == ("max_iterations", [(64, 64)] * 2)
        refined = await client.call_tool("refine", {"job": said(draft)["job"]})
        assert said(refined)["stopped"] in {"converged", "exact"}
        assert refined.content[1] != draft.content[1]
        shown = await client.call_tool("status", {"job": said(draft)["job"]})
        assert shown.content[1:] == refined.content[1:]
        refused = await client.call_tool("generate", {"prompt": "x", "steps": 10**6})
        assert refused.is_error
        assert "steps must be from 1 to 1000" in refused.content[0].text  # pyright: ignore

    run(connect, story)


def test_the_first_whole_picture_comes_as_progress(connect: Callable[[], Any], plain: httpx.Client) -> None:
    async def story(client: Client) -> None:
        early: list[Any] = []
        accepted = anyio.Event()
        job = ""

        async def news(progress: float, total: float | None, message: str | None) -> None:
            nonlocal job
            if early or message is None or "underpaint://" not in message:
                return
            where = message.partition(": ")[2]
            job = where.split("/")[3]
            early.append((await client.read_resource(where)).contents[0])
            assert total
            assert progress < total
            await client.call_tool("accept", {"job": job})
            accepted.set()

        result = await client.call_tool("generate", LONG, progress_callback=news)
        await accepted.wait()  # the client cannot be closed while a call is under way
        assert isinstance(early[0], BlobResourceContents)
        assert Image.open(io.BytesIO(b64decode(early[0].blob))).size == (64, 64)
        assert early[0].mime_type == "image/webp"
        assert (said(result)["stopped"], sizes(result)) == ("accepted", [(64, 64)])
        assert said(result)["job"] == job

    run(connect, story)


def test_canceling(connect: Callable[[], Any], plain: httpx.Client) -> None:
    async def story(client: Client) -> None:
        job = said(await client.call_tool("generate", {**LONG, "wait": False}))["job"]
        canceled = await client.call_tool("cancel", {"job": job})
        assert said(canceled)["state"] == "canceled"
        with pytest.raises(MCPError):
            await client.read_resource(f"underpaint://jobs/{job}/images/9/iterates/latest")
        # A client that gives up its call cancels the job.
        with anyio.CancelScope() as call:

            async def news(progress: float, total: float | None, message: str | None) -> None:
                call.cancel()

            await client.call_tool("generate", LONG, progress_callback=news)

    run(connect, story)
    until(lambda: [job["state"] for job in plain.get("/v1/jobs").json()["jobs"]] == ["canceled"] * 2)
