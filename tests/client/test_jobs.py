"""The client reads requests of servers that are newer or older than itself."""

from typing import Any

import pytest
from pydantic import ValidationError

from underpaint import JobRequest

STORED: dict[str, Any] = {
    "model": "emoji",
    "prompt": "red heart",
    "method": "srds",
    "steps": 50,
    "guidance_scale": 3,
    "width": 64,
    "height": 64,
    "seed": 7,
    "images": 1,
    "tolerance": 0.005,
}


def test_fields_that_an_older_server_does_not_know_have_the_value_that_changes_nothing() -> None:
    read = JobRequest.model_validate(STORED)
    assert (read.solver, read.eta, read.true_cfg_scale, read.wish) == (None, 0, 1, "latency")
    assert {name: getattr(read, name) for name in STORED} == STORED


def test_what_a_newer_server_adds_or_allows_is_kept_as_it_is() -> None:
    newer = {**STORED, "method": "other", "guidance_scale": 0.5, "sharpness": {"of": "it"}}
    read = JobRequest.model_validate(newer)
    assert (read.method, read.guidance_scale, read.seed, read.eta) == ("other", 0.5, 7, 0)
    assert read.model_dump().items() >= newer.items()
    added = JobRequest.model_validate({**STORED, "sharpness": 0.5})
    assert added.model_dump()["sharpness"] == 0.5


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(ValidationError):
        JobRequest.model_validate([STORED])
