"""Prompts that are longer than the text encoders take."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from contract.fields import Generation
from sampler import load_model
from tasks import cut
from tests.sampler import tiny
from tests.tasks.inside import Start
from tests.tasks.jobs import Jobs


@pytest.mark.parametrize("family", ["stable-diffusion", "flux", "dit"])
def test_what_is_kept_is_told(family: str, tmp_path: Path, generation: Callable[..., Generation]) -> None:
    model = load_model(tiny.build(family, tmp_path))
    assert not cut.warnings(model, generation(prompt="red heart"))
    found = list(cut.warnings(model, generation(prompt="red heart " * 29, negative_prompt="blue " * 59)))
    if family == "stable-diffusion":
        assert [each.field for each in found] == ["prompt", "negative_prompt"]
        pipeline = model.pipeline  # pyright: ignore[reportAttributeAccessIssue]
        text = "red heart " * 29
        kept = cut.kept(pipeline, pipeline.tokenizer, text)
        assert text.startswith(kept)
        longest = pipeline.tokenizer.model_max_length
        assert len(pipeline.tokenizer(kept).input_ids) <= longest
        assert len(pipeline.tokenizer(text[: len(kept) + 1]).input_ids) > longest
        assert not cut.warnings(model, generation(prompt=kept))
    else:  # T5 takes 512 tokens; a model of classes has no tokenizer
        assert found == []


def test_it_is_in_the_job(process: Start, jobs: Jobs, valkey: redis.Redis) -> None:
    job_id = jobs.submit(prompt="red heart " * 29, steps=2)
    process("worker").run()
    job = jobs.wait(job_id)
    assert job.state == "succeeded"
    assert [each["field"] for each in job.warnings] == ["prompt"]
