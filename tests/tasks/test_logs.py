"""The log of a worker: JSON in every line where that is asked for, and no prompts."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from contract.fields import Generation
from store.catalog import load_catalog
from tasks.queue import enqueue
from tests.api.serving import environment
from tests.cli.running import COMMAND
from tests.sampler import tiny
from tests.tasks.jobs import Jobs
from tests.until import PATIENCE

SECRET = "xyzzy"
FAMILIES = ["stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "flux", "pixart-sigma", "dit"]
CARD = """
[[models]]
id = "{family}"
title = "Tiny"
description = "Random."
source = "{folder}"
license = "Apache-2.0"
dtype = "float32"
width = 4
example_prompts = ["red heart"]
[models.defaults]
steps = 2
guidance_scale = 3.0
tolerance = 0.0
method = "srds"
height = {height}
width = {width}
[models.limits]
min_steps = 1
max_steps = 10
min_size = 16
max_size = 64
multiple_of = 8
max_guidance_scale = 20.0
max_images = 1
max_prompt_characters = 4000
"""


@pytest.mark.slow
def test_every_line_is_json_and_no_prompt_is_in_it(
    jobs: Jobs,
    generation: Callable[..., Generation],
    valkey: redis.Redis,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "catalog.toml"
    cards = [
        CARD.format(family=name, folder=tiny.build(name, tmp_path), height=tiny.size(name)[0], width=tiny.size(name)[1])
        for name in FAMILIES
    ]
    path.write_text("".join(cards))
    catalog = load_catalog(path)
    prompt = f"{SECRET} " * 300  # more than any text encoder takes, and no class of a model with classes
    submitted = {
        name: jobs.submit_generation(catalog.resolve({"model": name, "prompt": prompt, "negative_prompt": prompt}))
        for name in FAMILIES
        if name not in ("flux", "dit")
    }
    submitted |= {
        name: jobs.submit_generation(catalog.resolve({"model": name, "prompt": prompt})) for name in ("flux", "dit")
    }
    log = tmp_path / "log"
    settings = environment(
        UNDERPAINT_DATABASE_URL=postgres_url,
        UNDERPAINT_REDIS_URL=redis_url,
        UNDERPAINT_CATALOG=str(path),
        UNDERPAINT_LOG_FORMAT="json",
    )
    with log.open("wb") as output:
        worker = subprocess.Popen([*COMMAND, "worker"], stdout=output, stderr=subprocess.STDOUT, env=settings)
    try:
        enqueue()
        ended = {name: jobs.wait(job_id) for name, job_id in submitted.items()}
    finally:
        worker.terminate()
        worker.wait(PATIENCE)
    states = {name: job.state for name, job in ended.items()}
    assert states == {name: "failed" if name == "dit" else "succeeded" for name in submitted}, log.read_text()
    assert SECRET in (ended["dit"].error or ""), "the client is told"
    lines = log.read_text().splitlines()
    assert lines
    for line in lines:
        json.loads(line)
    assert SECRET not in log.read_text()
