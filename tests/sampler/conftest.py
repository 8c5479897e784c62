"""The shipped model, loaded once."""

from pathlib import Path

import pytest

from sampler import Model, load_model

EMOJI = Path(__file__).parents[2] / "models" / "emoji"


@pytest.fixture(scope="session")
def emoji() -> Model:
    """The model that ships with the project, float32 on the CPU."""
    return load_model(EMOJI)
