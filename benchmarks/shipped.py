"""What the benchmarks on the shipped model share: prompts with a seed each, trajectories run side by side, errors."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from sampler import Engine, Iterate, Model, Trajectory, load_model

PROMPTS = [
    "red heart", "cat face", "pizza", "rocket", "grinning face",
    "tropical fish", "house", "guitar", "sunflower", "soccer ball",
]  # fmt: skip
FIRST_SEED = 100
EMOJI = Path(__file__).parents[1] / "models" / "emoji"


def shipped_model() -> Model:
    """The emoji model, float32 on the CPU."""
    return load_model(EMOJI)


def noises(model: Model, count: int) -> list[Tensor]:
    """The noise that each of the first `count` prompts starts from."""
    return [model.noise(FIRST_SEED + n, height=64, width=64) for n in range(count)]


def run(model: Model, guidance: float, trajectories: Sequence[Trajectory]) -> list[list[Iterate]]:
    """Run one trajectory a prompt, all in one engine wide enough that none waits for another; their iterates."""
    engine = Engine(model, 10**6)
    iterates: dict[int, list[Iterate]] = {id(trajectory): [] for trajectory in trajectories}
    for prompt, trajectory in zip(PROMPTS, trajectories, strict=False):
        engine.add(trajectory, model.encode(prompt, "", guidance))
    while engine.active:
        for progress in engine.round():
            iterates[id(progress.trajectory)] += progress.iterates
    return list(iterates.values())


def error(sample: Tensor, exact: Tensor) -> float:
    """RMS of the difference over RMS, in latent space."""
    return float((sample - exact).norm() / exact.norm())
