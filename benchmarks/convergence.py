"""How plain SRDS converges on the shipped model: `python -m benchmarks.convergence docs/convergence.md`.

Each row is the mean over prompts, each with its own seed, of the relative error (RMS over RMS, latent space) of every
iterate against the serial sampler with the same solver; B is about sqrt(N), width unbounded.
"""

import argparse
from pathlib import Path

from benchmarks.shipped import error, noises, run, shipped_model
from sampler import Model, Parareal

LAST = 4
# (solver, guidance, N, prompts)
SETTINGS = [
    *((name, guidance, steps, 3) for name in ("ddim", "dpm++", "heun") for guidance in (1.0, 3.0, 7.5)
      for steps in (25, 50, 100)),
    ("ddim", 3.0, 1000, 2),
]  # fmt: skip


def row(model: Model, name: str, guidance: float, steps: int, prompts: int) -> str:
    """One line of the table."""
    solver = model.solver(steps, name)
    blocks = round(solver.grid.steps**0.5)
    starts = noises(model, prompts)
    exact = run(model, guidance, [Parareal(solver, noise, blocks=1) for noise in starts])
    plain = [Parareal(solver, noise, blocks=blocks, max_iterations=LAST, correction="plain") for noise in starts]
    iterates = run(model, guidance, plain)
    errors = [
        sum(error(mine[p].sample, serial[-1].sample) for mine, serial in zip(iterates, exact, strict=True)) / prompts
        for p in range(LAST + 1)
    ]
    figures = " | ".join(f"{value:.1e} ({iterates[0][p].rounds})" for p, value in enumerate(errors))
    return f"| {name} | {guidance:g} | {steps} | {blocks} | {figures} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    model = shipped_model()
    lines: list[str] = []
    for setting in SETTINGS:
        lines.append(row(model, *setting))
        print(lines[-1], flush=True)
    head = " | ".join(f"iterate {p}" for p in range(LAST + 1))
    out.write_text(
        "# Convergence\n\n"
        "Written by `python -m benchmarks.convergence docs/convergence.md`, on the shipped model. The relative error "
        "(RMS over RMS, latent space) of each iterate of SRDS with the paper's plain correction against the serial "
        "sampler with the same solver, mean "
        "over three prompts with a seed each (two for N = 1000); in brackets the rounds until the iterate is complete, "
        "at unbounded width. Heun takes two evaluations for each step but the last, so its serial sampler takes "
        "2 N - 1 rounds.\n\n"
        f"| solver | guidance | N | B | {head} |\n|---|---|---|---|{'---|' * (LAST + 1)}\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    main()
