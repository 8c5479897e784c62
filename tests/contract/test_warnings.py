"""What of a request does nothing is told."""

from dataclasses import replace
from typing import Any

import pytest

from contract.fields import Generation
from contract.warnings import cut, foreseen
from store.catalog import Catalog
from store.pipelines import arguments


def resolved(catalog: Catalog, **fields: Any) -> Generation:
    given = {name: fields.pop(name) for name in list(fields) if name in ("true_cfg_scale", "guidance_rescale")}
    return catalog.resolve({"prompt": "red heart", **fields}).model_copy(update=given)


@pytest.mark.parametrize(
    ("fields", "kind", "warned"),
    [
        ({"negative_prompt": "blue"}, "StableDiffusionPipeline", []),
        ({"negative_prompt": "blue", "guidance_scale": 1.0}, "StableDiffusionPipeline", ["negative_prompt"]),
        ({"negative_prompt": "  ", "guidance_scale": 1.0}, "StableDiffusionPipeline", []),
        ({"negative_prompt": "blue", "guidance_scale": 1.0}, None, ["negative_prompt"]),
        ({"negative_prompt": "blue"}, "FluxPipeline", ["negative_prompt"]),
        ({"negative_prompt": "blue", "true_cfg_scale": 3.0}, "FluxPipeline", []),
        ({"negative_prompt": "blue"}, "QwenImagePipeline", ["negative_prompt"]),
        ({"negative_prompt": "blue"}, "Flux2Pipeline", ["negative_prompt"]),
        ({"negative_prompt": "blue"}, "DiTPipeline", ["negative_prompt"]),
        ({"negative_prompt": "blue"}, "DDPMPipeline", ["prompt", "negative_prompt", "guidance_scale"]),
        ({"guidance_rescale": 0.5, "guidance_scale": 1.0}, "StableDiffusionPipeline", ["guidance_rescale"]),
        ({"guidance_rescale": 0.5}, "StableDiffusionPipeline", []),
    ],
)
def test_foreseen(catalog: Catalog, fields: dict[str, Any], kind: str | None, warned: list[str]) -> None:
    terms = replace(catalog.default.terms, kind=kind, arguments=arguments(kind) if kind else None)
    assert [warning.field for warning in foreseen(resolved(catalog, **fields), terms)] == warned


def test_a_cut_prompt_shows_its_end() -> None:
    assert cut("prompt", "red heart").message.endswith("cut after 'red heart'")
    assert cut("prompt", "x" * 99 + "end").message.endswith("xend'")
    assert len(cut("prompt", "x" * 999).message) < 140
