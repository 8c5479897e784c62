"""A short run of `python -m tests.chaos`."""

import pytest

from tests.chaos.run import run


@pytest.mark.slow
def test_nothing_is_lost_while_everything_breaks() -> None:
    found = run(jobs=6, seconds=6, seed=3, s3=True, every=0.3)
    assert found.wrong == []
    assert found.figures["acknowledged jobs"] == 6
    assert found.figures["faults"]
