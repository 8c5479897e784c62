"""Pictures with LoRA are those of diffusers' own `load_lora_weights` and `set_adapters`, alone and in company."""

from itertools import groupby

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

from sampler import Engine, Lora, Serial, load_model
from sampler.models import loras
from sampler.tuning import LORA_ROUNDS
from tests.sampler import lora_files, tiny
from tests.sampler.oracle import Request, theirs
from tests.sampler.problems import Mixture, Unconditional, noise, relative_error, solver

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning"),  # of the oracle
]

FAMILY = "stable-diffusion"
ASKED = Request(32, 48)


def pipeline_of(folder):
    pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.build(FAMILY, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def files(folder):
    return {
        "ink": lora_files.diffusers_file(pipeline_of(folder), folder.parent, "ink", 1),
        "oil": lora_files.diffusers_file(pipeline_of(folder), folder.parent, "oil", 5, text=False),
        "kohya": lora_files.kohya_file(pipeline_of(folder), folder.parent, "kohya", 9),
    }


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder)


SETS = {
    "none": {}, "ink": {"ink": 1.0}, "weak": {"ink": 0.4}, "oil": {"oil": 0.8}, "kohya": {"kohya": 1.0},
    "both": {"ink": 0.7, "kohya": -0.5},
}  # fmt: skip


@pytest.fixture(scope="module")
def expected(folder, files):
    """Diffusers' own final samples, by set."""

    def sampled(scales):
        pipeline = pipeline_of(folder)
        for name in scales:
            pipeline.load_lora_weights(folder.parent, weight_name=files[name].name, adapter_name=name)
        if scales:
            pipeline.set_adapters(list(scales), list(scales.values()))
        return theirs(FAMILY, pipeline, ASKED)

    return {name: sampled(scales) for name, scales in SETS.items()}


def asked_for(model, files, name):
    """A trajectory and its condition."""
    chosen = [Lora(each, str(files[each]), scale) for each, scale in SETS[name].items()]
    condition = model.encode(
        ASKED.prompt, ASKED.negative_prompt, ASKED.guidance_scale, steps=ASKED.steps, height=ASKED.height,
        width=ASKED.width, loras=chosen,
    )  # fmt: skip
    steps = model.solver(ASKED.steps, height=ASKED.height, width=ASKED.width)
    return Serial(steps, model.noise(ASKED.seed, ASKED.height, ASKED.width)), condition


def sampled_together(model, files, names):
    engine = Engine(model, 4)
    trajectories = {}
    for name in names:
        trajectories[name], condition = asked_for(model, files, name)
        engine.add(trajectories[name], condition)
    while engine.active:
        engine.round()
    return {name: trajectory.newest.sample for name, trajectory in trajectories.items()}


@pytest.mark.parametrize("name", SETS)
def test_alone(model, files, expected, name):
    assert relative_error(sampled_together(model, files, [name])[name], expected[name]) < 1e-4


def test_every_set_tells(expected):
    """Else equal results would show little."""
    for name in SETS:
        for other in SETS:
            assert name == other or relative_error(expected[name], expected[other]) > 1e-3, (name, other)


def test_jobs_with_different_sets_share_an_engine(model, files, expected):
    for name, sample in sampled_together(model, files, SETS).items():
        assert relative_error(sample, expected[name]) < 1e-4, name


def test_those_that_are_not_used_are_unloaded(folder, files, expected, monkeypatch):
    monkeypatch.setattr(loras, "KEPT", 1)
    model = load_model(folder)
    for name in ("ink", "oil", "both", "none", "ink"):
        assert relative_error(sampled_together(model, files, [name])[name], expected[name]) < 1e-4, name
    assert model._loras.loaded == [str(files["ink"])]


def spoilt_shape(folder, files):
    key = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    weights = {f"{key}.lora_A.weight": torch.zeros(4, 99), f"{key}.lora_B.weight": torch.zeros(99, 4)}
    save_file(weights, folder.parent / "shape.safetensors")
    return folder.parent / "shape.safetensors"


def of_another_model(folder, files):
    weights = {"transformer.x.lora_A.weight": torch.zeros(4, 8), "transformer.x.lora_B.weight": torch.zeros(8, 4)}
    save_file(weights, folder.parent / "other.safetensors")
    return folder.parent / "other.safetensors"


def cut(folder, files):
    (folder.parent / "cut.safetensors").write_bytes(files["ink"].read_bytes()[:-50])
    return folder.parent / "cut.safetensors"


def pickled(folder, files):
    torch.save({}, folder.parent / "pickle.bin")
    return folder.parent / "pickle.bin"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoilt_shape, "LoRA bad does not fit this model: .*size mismatch"),
        (of_another_model, "LoRA bad has no weights for this model|LoRA bad does not fit"),
        (cut, "LoRA bad does not fit this model"),
        (pickled, r"LoRA bad is not a \.safetensors file"),
        (lambda folder, files: folder / "nothing.safetensors", "LoRA bad does not fit this model"),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(model, folder, files, expected, spoil, message):
    bad = Lora("bad", str(spoil(folder, files)))
    with pytest.raises(ValueError, match=f"(?s){message}"):
        model.encode("red heart", loras=[bad])
    for name in ("none", "oil"):
        assert relative_error(sampled_together(model, files, [name])[name], expected[name]) < 1e-4


def test_a_round_holds_one_set_and_sets_take_turns():
    rounds = []

    class Watched(Mixture):
        def denoise(self, x, timestep, conditions):
            rounds.append({each.loras for each in conditions})
            return super().denoise(x, timestep, conditions)

    sets = [(), (Lora("a", "a"),), (Lora("b", "b"),)]
    engine = Engine(Watched(), 8)
    for number, chosen in enumerate(sets * 2):
        engine.add(Serial(solver(20), noise(number)), Unconditional(loras=chosen))
    while engine.active:
        engine.round()
    assert all(len(each) == 1 for each in rounds)
    runs = [(chosen, len(list(run))) for (chosen,), run in groupby(map(tuple, rounds))]
    assert len(rounds) == 60
    assert {length for _, length in runs} == {LORA_ROUNDS}
    assert [chosen for chosen, _ in runs[:6]] == sets * 2
