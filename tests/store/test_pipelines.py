"""What is read of diffusers' pipelines without importing them is what Python sees."""

import inspect
import re
from pathlib import Path

import diffusers
import pytest

from store.pipelines import arguments

SERVED = re.findall(r"^\| `(\w+)` \|", (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("kind", ["StableDiffusionPipeline", "QwenImagePipeline", "DDPMPipeline", "ZImagePipeline"])
def test_arguments_are_those_of_the_class(kind: str) -> None:
    assert kind in SERVED
    assert arguments(kind) == set(inspect.signature(getattr(diffusers, kind).__call__).parameters) - {"kwargs"}


def test_every_served_pipeline_is_found() -> None:
    assert all(arguments(kind) for kind in SERVED)
    assert arguments("BestPipeline") is None
