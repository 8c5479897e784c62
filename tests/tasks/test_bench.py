"""The measured engine makes the images that a worker makes."""

import torch

from sampler import Model, sample
from store.catalog import Catalog
from tasks.bench import Studio, cases


def test_an_image_is_that_of_its_request(catalog: Catalog, emoji: Model) -> None:
    studio = Studio(catalog["emoji"], device="cpu")
    request = {"prompt": "red heart", "seed": 7, "steps": 4, "method": "serial"}
    whole, undecoded = studio.make([request, request | {"previews": False}], decode=False)
    studio.close()
    options = {"method": "serial", "steps": 4, "guidance_scale": 3.0, "seed": 7}
    *_, expected = sample(emoji, "red heart", height=64, width=64, **options)
    for made in (whole, undecoded):
        torch.testing.assert_close(made.sample, expected.sample)
        assert 0 < made.first <= made.seconds


def test_auto_is_measured_to_its_own_tolerance_and_to_the_exact_image(catalog: Catalog) -> None:
    assert [case for case in cases(catalog["emoji"]) if case["method"] == "auto"] == [
        {"method": "auto"},
        {"method": "auto", "tolerance": 0.0},
    ]
