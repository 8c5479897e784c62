"""Simulated devices of fixed latency: does the engine reach the speed-up that its rounds, counted beforehand, give?

    python -m benchmarks.devices build/benchmarks

A round of n evaluations on D devices sleeps for `ceil(n / D)` times the latency, as it would take them; everything else
is the real engine, on a denoiser that costs next to nothing. So what is missing of that speed-up is what
the engine itself costs.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.problems import Anything
from benchmarks.report import about, machine, table, write
from sampler import DDIM, Engine, Grid, Parareal, choose_blocks, predict

SHAPE = (4, 64, 64)  # of a latent of 512 x 512 pixels

TEXT = """# Simulated devices of fixed latency

Written by `python -m benchmarks.devices build/benchmarks` from `devices.json`, {machine}.

N = {steps}; each device takes {latency:g} ms for an evaluation of a latent of 4 x 64 x 64, simulated by a
sleep; everything else is the real engine. Speed-up is relative to N times the latency, the least that the serial
sampler takes. The target is 95 % of the speed-up that the predicted rounds give (`sampler.predict`, with the number
of blocks that takes the fewest). The time that is not asleep is the engine's own, and waiting for a busy processor.
The last column is the engine's processor time, which depends less on other load.

{table}"""


@dataclass(frozen=True)
class Devices:
    """So many devices that take one evaluation at a time, each of `latency` seconds: see `sampler.Denoiser`."""

    number: int
    latency: float
    device = torch.device("cpu")

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Any]) -> Tensor:
        ended = time.perf_counter() + -(-len(x) // self.number) * self.latency
        output = x * 0.99
        # The arithmetic runs while the simulated device is busy, as it would there.
        time.sleep(max(0.0, ended - time.perf_counter()))
        return output


def grid(steps: int) -> Grid:
    """N + 1 points of a flow, which every width can be tried on."""
    sigma = torch.linspace(1, 0, steps + 1).double()
    return Grid(sigma[:-1] * 1000, 1 - sigma[:-1], sigma[:-1], 1 - sigma[1:], sigma[1:])


def timed(devices: Devices, steps: int, blocks: int, iterate: int) -> tuple[float, float, int, int]:
    """Seconds by the clock, those of the processor, rounds and evaluations until an iterate of one sample is
    complete."""
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    trajectory = Parareal(DDIM(grid(steps), "velocity"), noise, blocks=blocks, max_iterations=iterate)
    engine = Engine(devices, devices.number)
    engine.add(trajectory, Anything())
    began, worked = time.perf_counter(), time.thread_time()
    while engine.active:
        engine.round()
    seconds, processor = time.perf_counter() - began, time.thread_time() - worked
    return seconds, processor, trajectory.rounds, trajectory.evaluations


def measure(steps: int, numbers: Sequence[int], latency: float) -> list[dict[str, Any]]:
    """Iterate 2 of SRDS on each number of devices, and the exact iterate on the most, beside the serial sampler."""
    found: list[dict[str, Any]] = []
    wanted = [(number, choose_blocks(steps, number, 2, last=2), 2) for number in numbers]
    exact = round(steps**0.5)
    for number, blocks, iterate in [*wanted, (steps, exact, exact)]:
        devices = Devices(number, latency)
        seconds, processor, rounds, evaluations = timed(devices, steps, blocks, iterate)
        formula = predict(steps, blocks, iterate, number, last=iterate)
        row = {"devices": number, "blocks": blocks, "iterate": iterate, "rounds": rounds, "evaluations": evaluations}
        row |= {"formula_rounds": formula.rounds, "seconds": seconds, "processor": processor}
        found.append(row | {"formula": steps / formula.rounds, "measured": steps * latency / seconds})
    return found


def page(found: dict[str, Any]) -> str:
    """The figures for people."""
    rows = [
        (
            row["devices"],
            row["blocks"],
            row["iterate"],
            row["formula_rounds"],
            row["rounds"],
            row["evaluations"],
            row["formula"],
            row["measured"],
            f"{row['measured'] / row['formula']:.1%}",
            f"{row['rounds'] * found['latency'] / row['seconds']:.1%}",
            f"{row['processor'] / row['rounds'] * 1000:.2f}",
        )
        for row in found["rows"]
    ]
    head = ("devices", "B", "iterate", "rounds predicted", "rounds", "evaluations", "speed-up predicted",
            "measured", "of the predicted", "asleep", "engine, ms a round")  # fmt: skip
    return TEXT.format(
        machine=about(found), steps=found["steps"], latency=1000 * found["latency"], table=table(head, rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--latency", type=float, default=0.04, help="s, of one evaluation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(options.steps, options.devices, options.latency)
    found = {"about": machine(1), "steps": options.steps, "latency": options.latency, "rows": rows}
    write(options.out, "devices", found, page(found))


if __name__ == "__main__":
    main()
