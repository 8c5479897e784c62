"""Samples that begin with a picture, with and without a mask; `python -m benchmarks.pictures` has all pipelines."""

import pickle
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from benchmarks.pictures import Request, begin, final, made, measure, original, run, theirs
from benchmarks.pipelines import error
from sampler import Checkpoint, Collocation, Engine, Model, Parareal, Serial, Trajectory, UnsupportedModel
from sampler.models.adapter import PipelineModel
from sampler.models.siblings import sibling
from sampler.original import Kind, Original, original_from
from sampler.solvers import FromPicture, Solver, kept_by
from tests.sampler.pipelines import build

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
KINDS: tuple[Kind, ...] = ("image", "mask")


@cache
def model(name: str = "StableDiffusionPipeline") -> PipelineModel:
    return made(name)


def masked(model: PipelineModel, **request: object) -> tuple[Solver, Tensor, object]:
    return begin(model, replace(Request(original(model, "mask")), **request))  # pyright: ignore[reportArgumentType]


# Size as a condition; flow matching; latents as tokens; a network that is told of the mask; eight channels.
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("StableDiffusionXLPipeline", "image"),
        ("StableDiffusion3Pipeline", "mask"),
        ("FluxPipeline", "mask"),
        ("StableDiffusionInpaintPipeline", "mask"),
        ("emoji", "image"),
        ("emoji", "mask"),
    ],
)
def test_a_picture_is_changed_as_diffusers_does(name: str, kind: Kind) -> None:
    row = measure(model(name), name, kind)
    assert row.serial is not None
    assert max(row.serial, row.batch, row.srds) < 1e-5
    assert row.collocation <= max(row.estimate, 1e-5)
    assert row.estimate <= 1e-3
    assert row.puts_back == (kind == "mask" and name != "StableDiffusionInpaintPipeline")


@pytest.mark.parametrize("solver", ["ddim", "euler", "heun", "dpm++", "unipc", "noisy"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_solver_takes_a_picture(solver: str, kind: Kind) -> None:
    """`noisy` is DDIM with its own noise, which the pipeline draws from the same generator: its numbers are ours."""
    request = Request(original(model(), kind), solver=solver, steps=6)
    if solver == "noisy":
        request = replace(request, solver="ddim", eta=0.7)
    made, noise, condition = begin(model(), request)
    serial, srds = Serial(made, noise), Parareal(made, noise, blocks=2)
    run(model(), [(serial, condition), (srds, condition)])
    assert error(final(serial), theirs(model(), request)) < 1e-5
    assert error(final(srds), final(serial)) < 1e-5


def test_strength_leaves_steps_out() -> None:
    def steps(strength: float) -> int:
        return model().solver(10, original=original(model(), "image", strength=strength)).grid.steps

    assert [steps(strength) for strength in (0.1, 0.35, 1.0)] == [1, 3, 10]
    with pytest.raises(ValueError, match="leaves none of 10 steps"):
        steps(0.05)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_what_a_mask_keeps_is_the_picture_in_every_iterate(strength: float) -> None:
    solver, noise, condition = masked(model(), original=original(model(), "mask", strength=strength), steps=12)
    kept = kept_by(solver)
    assert kept is not None
    assert 0 < float(kept.free.mean()) < 1
    picture = kept.at((1.0, 0.0))
    trajectories: list[Trajectory] = [
        Serial(solver, noise),
        Parareal(solver, noise, blocks=3),
        Collocation(solver, noise, width=3, tolerance=1e-4),
    ]
    engine = Engine(model(), 8)
    for trajectory in trajectories:
        engine.add(trajectory, condition)  # pyright: ignore[reportArgumentType]
    seen: dict[str, int] = {}
    while engine.active:
        for progress in engine.round():
            for iterate in progress.iterates:
                assert error((1 - kept.free) * iterate.sample, picture) < 1e-5
                seen[progress.trajectory.method] = seen.get(progress.trajectory.method, 0) + 1
    assert seen.keys() == {"serial", "srds", "collocation"}
    assert error(final(trajectories[2]), final(trajectories[0])) < 1e-4


@pytest.mark.parametrize("method", ["serial", "srds", "collocation"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_trajectory_goes_on_from_its_checkpoint(method: str, kind: Kind) -> None:
    solver, noise, condition = begin(model(), Request(original(model(), kind), steps=12))

    def fresh() -> Trajectory:
        if method == "collocation":
            return Collocation(solver, noise, width=3, tolerance=1e-4)
        return Serial(solver, noise) if method == "serial" else Parareal(solver, noise, blocks=3)

    whole, half = fresh(), fresh()
    run(model(), [(whole, condition)])
    engine = Engine(model(), 8)
    engine.add(half, condition)
    for _ in range(3):
        engine.round()
    # As after a crash: the solver is made again, from the request.
    saved = Checkpoint.from_bytes(half.checkpoint().to_bytes())
    solver, _, condition = begin(model(), Request(original(model(), kind), steps=12))
    if method == "collocation":
        again: Trajectory = Collocation.resume(solver, saved, width=3, tolerance=1e-4)
    else:
        again = Serial.resume(solver, saved) if method == "serial" else Parareal.resume(solver, saved)
    run(model(), [(again, condition)])
    assert again.rounds == whole.rounds
    assert error(final(again), final(whole)) < 1e-5


def test_a_finished_picture_is_refined() -> None:
    solver, noise, condition = masked(model(), steps=20)
    draft = Collocation(solver, noise, width=4, tolerance=5e-2)
    run(model(), [(draft, condition)])
    refined = Collocation.resume(solver, draft.checkpoint(), width=4, tolerance=1e-5)
    exact = Serial(solver, noise)
    run(model(), [(refined, condition), (exact, condition)])
    assert refined.evaluations > draft.evaluations
    assert error(final(refined), final(exact)) < 1e-5


def test_a_soft_mask_is_sampled_serially_by_collocation() -> None:
    """Its values have a recursion each, of which no linear combination of whole samples knows."""
    solver, _, _ = masked(model())
    assert isinstance(solver, FromPicture)
    assert solver.linear is not None
    assert solver.kept is not None
    soft = replace(solver, kept=replace(solver.kept, free=solver.kept.free * 0.5))
    assert soft.linear is None


def test_another_picture_and_another_seed_give_another_sample() -> None:
    first = Request(original(model(), "image"))
    others = [first, replace(first, seed=4), Request(original(model(), "image", seed=2))]
    samples = [final(run(model(), [(Serial(s, n), c)])[0]) for s, n, c in (begin(model(), r) for r in others)]
    assert error(samples[1], samples[0]) > 1e-2 < error(samples[2], samples[0])


def test_a_solver_and_a_source_can_be_sent_to_another_process() -> None:
    solver, noise, _ = masked(model())
    again: Solver = pickle.loads(pickle.dumps(solver))
    assert torch.equal(again.initial(noise), solver.initial(noise))
    assert pickle.loads(pickle.dumps(original(model(), "mask"))) == original(model(), "mask")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strength": 0.0}, "strength must be above 0"),
        ({"strength": 1.5}, "strength must be above 0"),
        ({"image": b"123"}, "must have 2 x 2 pixels"),
        ({"mask": b"123"}, "must have 2 x 2 pixels"),
    ],
)
def test_a_source_that_is_none_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Original(**({"width": 2, "height": 2, "image": b"\0" * 12} | given))  # pyright: ignore[reportArgumentType]


def test_a_model_says_what_it_takes() -> None:
    assert model().kinds == {"image", "mask"}
    assert model("StableDiffusionInpaintPipeline").kinds == {"mask"}
    plain = PipelineModel(build("PixArtSigmaPipeline"))
    assert plain.kinds == frozenset()
    picture = original(plain, "image")
    with pytest.raises(ValueError, match="takes no image"):
        plain.encode("", original=picture)
    with pytest.raises(ValueError, match="needs an image and a mask"):
        model("StableDiffusionInpaintPipeline").noise(1, 64, 64)
    with pytest.raises(ValueError, match="must have 32 x 32 pixels"):
        model().noise(1, 32, 32, original=original(model(), "image"), steps=4)


def test_a_pipeline_whose_mask_is_no_rule_on_states_is_refused() -> None:
    """IF puts back the part as it was a step before; with its image-to-image pipeline the rule is the usual one."""
    floyd = PipelineModel(build("IFPipeline"))
    with pytest.raises(UnsupportedModel, match="does not follow the noise levels"):
        PipelineModel(sibling(floyd.pipeline, "mask"), floyd)
    kept = kept_by(floyd.solver(9, original=original(floyd, "mask"), height=64, width=64))
    assert kept is not None
    assert kept.binary


def test_a_picture_is_encoded_once(emoji: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(emoji, PipelineModel)
    picture = torch.full((64, 64, 3), 77, dtype=torch.uint8)
    request = Request(original_from(picture, None, 0.5))
    begin(emoji, request)
    encoder = emoji._siblings["image"].pipeline.vae.encoder  # pyright: ignore[reportPrivateUsage]
    calls: list[object] = []
    hook = encoder.register_forward_hook(lambda *_: calls.append(1))
    solver, noise, condition = begin(emoji, replace(request, seed=4))
    run(emoji, [(Parareal(solver, noise, blocks=3), condition)])
    hook.remove()
    assert calls == []
