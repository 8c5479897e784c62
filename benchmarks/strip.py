"""Draw the moving picture of the README: `python -m benchmarks.strip docs/strip.webp`.

Above are our iterates, below what the serial sampler shows after the same number of model calls, both from the same
noise. The serial sampler is diffusers' own pipeline. It shows its prediction of the image (`pred_original_sample`), as
the previews of other programs do; its state is noise for most of the way (`--state` shows that instead).

Guidance is strong and blocks are few, so that the first iterate is visibly rough.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks.shipped import EMOJI, shipped_model
from sampler import Iterate, Model, sample

STEPS, BLOCKS, GUIDANCE, SIZE = 100, 6, 7.5, 64
TOLERANCE = 0.05  # a smaller change is not visible
CELL, LABELS, TOP, GAP = 192, 196, 64, 8  # pixels
FRAME, LAST = 1400, 3000  # milliseconds
INK, PALE, OURS, THEIRS = "#222", "#ddd", "#c2571a", "#777"


class Recorder(DDIMScheduler):
    """Keeps what each step makes: the next state and the prediction of the image, (1, c, h, w)."""

    seen: list[tuple[Tensor, Tensor]]

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """See `DDIMScheduler.step`."""
        made: Any = super().step(*args, **{**kwargs, "return_dict": True})
        self.seen.append((made.prev_sample, made.pred_original_sample))
        return (made.prev_sample,)


@dataclass(frozen=True)
class Race:
    """One prompt by both samplers: the iterates and what the serial sampler shows after each of its N steps."""

    prompt: str
    iterates: list[Iterate]
    serial: list[Tensor]

    def newest(self, calls: int) -> Iterate:
        """The newest iterate after so many model calls."""
        return [iterate for iterate in self.iterates if iterate.rounds <= calls][-1]

    def shown(self, calls: int) -> tuple[Tensor, Tensor]:
        """What both samplers show after so many model calls, (c, h, w) each."""
        return self.newest(calls).sample, self.serial[calls - 1]


def run(model: Model, pipeline: Any, prompt: str, seed: int, *, state: bool) -> Race:
    """Both samplers from the same noise; `state` is whether the serial one shows its state."""
    iterates = list(
        sample(
            model,
            prompt,
            guidance_scale=GUIDANCE,
            steps=STEPS,
            seed=seed,
            height=SIZE,
            width=SIZE,
            method="srds",
            blocks=BLOCKS,
            tolerance=TOLERANCE,
        )
    )
    pipeline.scheduler.seen = []
    noise = model.noise(seed, SIZE, SIZE)[None]
    pipeline(prompt, num_inference_steps=STEPS, guidance_scale=GUIDANCE, latents=noise, output_type="latent")
    seen = pipeline.scheduler.seen
    shown = [made if state else predicted for made, predicted in seen[:-1]]
    return Race(prompt, iterates, [latents[0] for latents in (*shown, seen[-1][0])])


def frame(model: Model, races: Sequence[Race], calls: int) -> Image.Image:
    """Both rows after so many model calls, with the count above them."""
    width, height = LABELS + (CELL + GAP) * len(races), TOP + 2 * (CELL + GAP)
    canvas = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((LABELS, 8), f"{calls} model calls", INK, font_size=28)
    pen.rectangle((LABELS, TOP - 14, width - GAP, TOP - 8), PALE)
    pen.rectangle((LABELS, TOP - 14, LABELS + (width - GAP - LABELS) * calls // STEPS, TOP - 8), INK)
    ours_done = calls >= max(race.iterates[-1].rounds for race in races)
    rows = (
        ("Underpaint", "finished" if ours_done else f"whole picture {races[0].newest(calls).number + 1}", OURS),
        ("Serial sampler", "finished" if calls == STEPS else f"step {calls} of {STEPS}", THEIRS),
    )
    for row, (name, progress, color) in enumerate(rows):
        y = TOP + row * (CELL + GAP)
        pen.text((8, y + CELL // 2 - 15), name, color, anchor="lm", font_size=25)
        pen.text((8, y + CELL // 2 + 16), progress, INK, anchor="lm", font_size=19)
        for column, race in enumerate(races):
            picture = Image.fromarray(model.decode(race.shown(calls)[row][None])[0].numpy())
            canvas.paste(picture.resize((CELL, CELL), Image.Resampling.LANCZOS), (LABELS + column * (CELL + GAP), y))
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="an animated WebP")
    parser.add_argument("--prompts", nargs="+", default=["hamburger", "sunflower", "owl"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", action="store_true", help="show the serial sampler's state, not its prediction")
    parser.add_argument("--frames", type=Path, help="a folder for the single frames, as PNG")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # so small a network gains nothing from more
    model = shipped_model()
    pipeline: Any = StableDiffusionPipeline.from_pretrained(str(EMOJI), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = Recorder.from_config(pipeline.scheduler.config)
    races = [run(model, pipeline, prompt, arguments.seed, state=arguments.state) for prompt in arguments.prompts]
    counts = sorted({iterate.rounds for race in races for iterate in race.iterates} | {STEPS})
    frames = [frame(model, races, calls) for calls in counts]
    if arguments.frames:
        arguments.frames.mkdir(parents=True, exist_ok=True)
        for calls, picture in zip(counts, frames, strict=True):
            picture.save(arguments.frames / f"{calls:03}.png")
    durations = [FRAME] * (len(frames) - 1) + [LAST]
    frames[0].save(
        arguments.out, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=88, method=6
    )
    for race in races:
        evaluations = race.iterates[-1].evaluations
        print(f"{race.prompt}: {[each.rounds for each in race.iterates]} calls, {evaluations} evaluations")
    print(f"{arguments.out}: {len(frames)} frames, {arguments.out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
