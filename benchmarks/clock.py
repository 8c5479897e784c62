"""The sampler by the clock, beside diffusers' own pipelines: `python -m benchmarks.clock build/benchmarks`.

Everything from the prompt to the decoded picture, on the shipped model, with a fixed number of threads. Runs go in
pairs: diffusers' serial pipeline, and right after it the method, for the same prompt and seed; what is reported is the
ratio of the two, so that it matters little what else the machine does. Each number of threads has a process of its own.
A few pairs are whole processes, timed from outside: imports, loading and all.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import (
    DDIMParallelScheduler,  # pyright: ignore[reportPrivateImportUsage]
    StableDiffusionParadigmsPipeline,  # pyright: ignore[reportPrivateImportUsage]
    StableDiffusionPipeline,  # pyright: ignore[reportPrivateImportUsage]
)
from torch import Tensor

from benchmarks.methods import UNSEEN
from benchmarks.report import about, machine, middle, shown, table, write
from benchmarks.shipped import EMOJI, error
from sampler import Trajectory
from sampler.denoiser import Condition
from store.catalog import load_catalog
from store.settings import SHIPPED_CATALOG
from tasks.bench import Pictured, Studio
from tasks.engines import ImageBatch

T = TypeVar("T")

# What is compared with diffusers' serial pipeline: (method, tolerance).
CASES = (
    ("serial", 0.0),
    ("srds", 1e-2), ("srds", 1e-3), ("srds", 0.0),
    ("collocation", 1e-2),
    ("auto", 1e-2), ("auto", 1e-3), ("auto", 0.0),
    (UNSEEN, 1e-3), (UNSEEN, 0.0),
    ("ParaDiGMS", 0.1),
)  # fmt: skip
WITHIN = 1e-3  # of the serial image
# What a new engine runs first, to learn what its rounds cost.
WARM_UP = ("serial", "srds", "auto")

TEXT = """# The sampler by the clock

Written by `python -m benchmarks.clock build/benchmarks` from `clock.json`, {machine}.

Shipped model, guidance {guidance:g}, {pairs} pairs of runs a figure, a prompt and a seed each. Every figure is a ratio:
our time over the time of diffusers' own `StableDiffusionPipeline` for the same picture right before. The figures are
medians (lowest to highest). Both run from the prompt to the decoded picture, on the thread of a worker's engine, which
decodes every preview. The error is relative to diffusers' latents (RMS over RMS), the worst of the pairs. *No previews*
means `previews: false`. ParaDiGMS is diffusers' own deprecated `StableDiffusionParadigmsPipeline` with a window of
{width} and a tolerance of 0.1. It always ends its grid at alpha = 1, not at the scheduler's last alpha, which is part
of its error.

{tables}
## Against the targets

At N = {most}, and for `auto`, the planner's own choice:

{targets}
## Whole processes

A new process for one picture of {most} steps, timed from outside with imports and loading, {threads} threads.

{processes}"""


def noise_of(studio: Studio, seed: int) -> Tensor:
    """What both sides start from."""
    size = studio.card.defaults
    return studio.engine.model.noise(seed, size.height, size.width)


def on_engine(studio: Studio, work: Callable[[], T]) -> T:
    """What `work` returns, done on the thread of the engine: no other is to compute, see `tasks.engines`."""
    done: Future[T] = Future()

    def begin(*_: object) -> dict[int, tuple[Condition, Trajectory]]:
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)
        return {}

    studio.engine.add(ImageBatch((), begin, lambda _: None))
    return done.result()


class Diffusers:
    """diffusers' own pipelines over the components that the studio has loaded."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        loaded: Any = studio.engine.model
        self._serial: Any = loaded.pipeline
        parts: dict[str, Any] = {
            name: part for name, part in self._serial.components.items() if name != "image_encoder"
        }
        # Its batched step takes alpha = 1 at the end whatever the scheduler says.
        scheduler: Any = DDIMParallelScheduler.from_config(parts["scheduler"].config, set_alpha_to_one=True)
        self._paradigms: Any = StableDiffusionParadigmsPipeline(
            **parts | {"scheduler": scheduler}, requires_safety_checker=False
        )
        self._paradigms.set_progress_bar_config(disable=True)
        self._paradigms.wrapped_unet = self._paradigms.unet

    def serial(self, prompt: str | Sequence[str], seed: int, steps: int) -> float:
        """Seconds from the prompt to the decoded picture."""
        return self._timed(self._serial, prompt, seed, steps, output_type="pil")

    def paradigms(self, prompt: str, seed: int, steps: int, width: int, tolerance: float) -> float:
        """The same, by ParaDiGMS."""
        options = {"parallel": min(width, steps), "tolerance": tolerance, "output_type": "pil"}
        return self._timed(self._paradigms, prompt, seed, steps, **options)

    def latents(self, prompt: str, seed: int, steps: int, paradigms: dict[str, Any] | None = None) -> Tensor:
        """The final sample, (c, h, w)."""
        pipeline = self._serial if paradigms is None else self._paradigms
        return self._run(pipeline, prompt, seed, steps, output_type="latent", **paradigms or {}).images[0]

    def _timed(self, pipeline: Any, *what: Any, **options: Any) -> float:
        began = time.perf_counter()
        self._run(pipeline, *what, **options)
        return time.perf_counter() - began

    def _run(self, pipeline: Any, prompt: str | Sequence[str], seed: int, steps: int, **options: Any) -> Any:
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        latents = torch.stack([noise_of(self._studio, seed + n) for n in range(len(prompts))])
        options |= {"num_inference_steps": steps, "guidance_scale": self._studio.card.defaults.guidance_scale}
        return on_engine(self._studio, lambda: pipeline(prompts, latents=latents, **options))


def warm(studio: Studio, steps: int = 12) -> None:
    """Have the model loaded, and the engine know what its rounds cost."""
    for method in WARM_UP:
        studio.make([{"prompt": "red heart", "seed": 1, "steps": steps, "method": method}])


def measure(steps: Sequence[int], pairs: int, width: int | None) -> Iterator[dict[str, Any]]:
    """Every N and case in this process: the ratios to diffusers' serial pipeline, pair by pair."""
    card = load_catalog(SHIPPED_CATALOG).default
    studio = Studio(card, width, "cpu")
    warm(studio)
    diffusers = Diffusers(studio)
    diffusers.serial("red heart", 1, 2)
    for n in steps:
        prompts = [(card.example_prompts[pair % len(card.example_prompts)], 100 + pair) for pair in range(pairs)]
        exact = [diffusers.latents(prompt, seed, n) for prompt, seed in prompts]
        for method, tolerance in CASES:
            row: dict[str, Any] = {"steps": n, "method": method, "tolerance": tolerance, "diffusers": []}
            row |= {"first": [], "all": [], "rounds": [], "evaluations": [], "error": []}
            for (prompt, seed), sample in zip(prompts, exact, strict=True):
                serial = diffusers.serial(prompt, seed, n)
                row["diffusers"].append(serial)
                if method == "ParaDiGMS":
                    options = {"parallel": min(studio.engine.width, n), "tolerance": tolerance}
                    seconds = diffusers.paradigms(prompt, seed, n, studio.engine.width, tolerance)
                    row["all"].append(seconds / serial)
                    row["error"].append(error(diffusers.latents(prompt, seed, n, options), sample))
                    continue
                request: dict[str, Any] = {"prompt": prompt, "seed": seed, "steps": n, "method": method}
                if method == UNSEEN:
                    request |= {"method": "auto", "previews": False}
                made: Pictured = studio.make([request if method == "serial" else request | {"tolerance": tolerance}])[0]
                row["first"].append(made.first / serial)
                row["all"].append(made.seconds / serial)
                row["rounds"].append(made.iterate.rounds)
                row["evaluations"].append(made.iterate.evaluations)
                row["error"].append(error(made.sample, sample))
            yield row


def once(who: str, steps: int) -> None:
    """One picture, as a program of its own would make it."""
    if who == "diffusers":
        pipeline: Any = StableDiffusionPipeline.from_pretrained(EMOJI, dtype=torch.float32, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        pipeline("red heart", num_inference_steps=steps, guidance_scale=3.0)
    else:
        studio = Studio(load_catalog(SHIPPED_CATALOG).default, None, "cpu")
        studio.make([{"prompt": "red heart", "seed": 1, "steps": steps, "method": "auto", "tolerance": float(who)}])


def child(threads: int, *arguments: str) -> list[dict[str, Any]]:
    """Run this module in a process of its own with so many threads; the objects that it writes, a line each."""
    environment = {"TRANSFORMERS_VERBOSITY": "error", **os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.clock", *arguments]
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def processes(threads: int, steps: int, pairs: int) -> dict[str, list[float]]:
    """Whole processes, in turn: diffusers' seconds, and ratios to them of `auto` by its tolerance."""

    def seconds(who: str) -> float:
        began = time.perf_counter()
        child(threads, "--once", who, "--steps", str(steps))
        return time.perf_counter() - began

    found: dict[str, list[float]] = {"diffusers": [], "0.001": [], "0": []}
    for _ in range(pairs):
        for who in ("0.001", "0"):
            found["diffusers"].append(seconds("diffusers"))
            found[who].append(seconds(who) / found["diffusers"][-1])
    return found


def page(found: dict[str, Any]) -> str:
    """The figures for people."""
    tables = ""
    head = ("N", "method", "tolerance", "first preview", "image", "rounds", "evaluations", "error")
    for threads, rows in found["threads"].items():
        lines = [
            (
                row["steps"], row["method"], f"{row['tolerance']:g}" if row["method"] != "serial" else "",
                shown(middle(row["first"])) if row["first"] else "", shown(middle(row["all"])),
                *(f"{middle(row[name])['median']:g}" if row[name] else "" for name in ("rounds", "evaluations")),
                f"{max(row['error']):.1e}",
            )
            for row in rows
        ]  # fmt: skip
        serial = {row["steps"]: middle(row["diffusers"])["median"] for row in rows}
        took = "; ".join(f"N = {steps}: {seconds:.2f} s" for steps, seconds in serial.items())
        tables += f"## Threads: {threads}\n\ndiffusers, serially: {took}.\n\n{table(head, lines)}\n"
    whole = found["processes"]
    most = max(row["steps"] for rows in found["threads"].values() for row in rows)
    lines = [("diffusers' serial pipeline", f"{middle(whole['diffusers'])['median']:.1f} s")]
    lines += [(f"`auto`, tolerance {name}", shown(middle(whole[name])) + " of it") for name in ("0.001", "0")]
    return TEXT.format(
        machine=about(found), tables=tables, most=most, targets=targets(found["threads"], most),
        processes=table(("one picture", "whole process"), lines), **found["settings"],
    )  # fmt: skip


def targets(threads: dict[str, list[dict[str, Any]]], most: int) -> str:
    """What is aimed at for `auto`, and what was measured."""
    lines: list[tuple[str, ...]] = []
    for count, rows in threads.items():
        auto = [row for row in rows if row["method"] == "auto"]
        last = [row for row in auto if row["steps"] == most]
        close = [row for row in last if max(row["error"]) <= WITHIN]
        first = min(middle(row["first"])["median"] for row in last)
        within = min((middle(row["all"])["median"] for row in close), default=float("nan"))
        exact = next(middle(row["all"])["median"] for row in last if row["tolerance"] == 0)
        slowest = max(auto, key=lambda row: middle(row["all"])["median"])
        lines += [
            (count, "first whole preview", "0.08", f"{first:.3f}"),
            (count, f"image within {WITHIN:g} of the serial one", "0.50", f"{within:.2f}"),
            (count, "exact image", "1.05", f"{exact:.2f}"),
            (count, f"slowest of all (N = {slowest['steps']}, tolerance {slowest['tolerance']:g})", "1.05",
             f"{middle(slowest['all'])['median']:.2f}"),
        ]  # fmt: skip
    return table(("threads", "share of diffusers' time until", "target, at most", "measured"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 100])
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--width", type=int, help="evaluations a round; what the catalogue says by default")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    parser.add_argument("--rows", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        once(options.once, options.steps[0])
        return
    if options.rows:
        for row in measure(options.steps, options.pairs, options.width):
            print(json.dumps(row), flush=True)
        return
    arguments = ["--rows", "--steps", *map(str, options.steps), "--pairs", str(options.pairs)]
    arguments += ["--width", str(options.width)] if options.width else []
    card = load_catalog(SHIPPED_CATALOG).default
    settings = {"guidance": card.defaults.guidance_scale, "pairs": options.pairs, "threads": options.threads[0]}
    found: dict[str, Any] = {
        "about": machine(),
        "settings": settings | {"width": options.width or card.width},
        "threads": {str(threads): child(threads, *arguments) for threads in options.threads},
        "processes": processes(options.threads[0], max(options.steps), options.pairs),
    }
    write(options.out, "clock", found, page(found))


if __name__ == "__main__":
    main()
