"""How SRDS converges on the shipped model: `python -m benchmarks.convergence build/benchmarks/convergence`.

Each row is the mean over prompts, each with its own seed, of the relative error (RMS over RMS, latent space) of each
iterate against the serial sampler with the same solver; B is about sqrt(N), width unbounded. Writes a table (.md), plot
(.png) and the figures (.json); what is in the figures already is not measured again.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.shipped import error, noises, run, shipped_model
from sampler import Model, Parareal
from sampler.methods.srds.parareal import Correction

LAST = 4
SOLVERS, GUIDANCES, STEPS = ("ddim", "dpm++", "heun"), (1.0, 3.0, 7.5), (25, 50, 100)
# (correction, solver, guidance, N, prompts)
SETTINGS = [
    *((*each, 3) for each in product(get_args(Correction), SOLVERS, GUIDANCES, STEPS)),
    *((correction, "ddim", 3.0, 1000, 2) for correction in get_args(Correction)),
]
Row = dict[str, Any]


def measure(model: Model, correction: Correction, name: str, guidance: float, steps: int, prompts: int) -> Row:
    """Errors and rounds of the iterates at one setting."""
    solver = model.solver(steps, name)
    blocks = round(solver.grid.steps**0.5)
    starts = noises(model, prompts)
    exact = run(model, guidance, [Parareal(solver, noise, blocks=1) for noise in starts])
    # One trajectory for each iterate: an iterate that is worse than the one before is shown only if it is the last.
    iterates = [
        run(
            model,
            guidance,
            [Parareal(solver, noise, blocks=blocks, max_iterations=p, correction=correction) for noise in starts],
        )
        for p in range(LAST + 1)
    ]
    return {
        "correction": correction,
        "solver": name,
        "guidance": guidance,
        "steps": steps,
        "blocks": blocks,
        "rounds": [made[0][-1].rounds for made in iterates],
        "errors": [
            sum(error(mine[-1].sample, ends[-1].sample) for mine, ends in zip(made, exact, strict=True)) / prompts
            for made in iterates
        ],
    }


def line(row: Row) -> str:
    """One line of the table."""
    figures = " | ".join(f"{e:.1e} ({r})" for e, r in zip(row["errors"], row["rounds"], strict=True))
    about = f"{row['correction']} | {row['solver']} | {row['guidance']:g} | {row['steps']} | {row['blocks']}"
    return f"| {about} | {figures} |"


def draw(rows: list[Row], out: Path) -> None:
    """The errors by iterate: a panel for each solver and guidance, a line for each N and correction."""
    mpl.use("Agg")
    figure, panels = plt.subplots(3, 3, figsize=(9, 8), sharex=True, sharey=True, squeeze=False, layout="constrained")
    for (i, name), (j, guidance) in product(enumerate(SOLVERS), enumerate(GUIDANCES)):
        panel = panels[i][j]
        panel.set_title(f"{name}, guidance {guidance:g}", fontsize=10)
        panel.set_yscale("log")
        panel.grid(alpha=0.3)
        for row in rows:
            if (row["solver"], row["guidance"]) == (name, guidance) and row["steps"] in STEPS:
                plain = row["correction"] == "plain"
                label = f"N = {row['steps']}, {row['correction']}"
                style = {"linestyle": ":" if plain else "-", "color": f"C{STEPS.index(row['steps'])}", "marker": "."}
                panel.plot(range(LAST + 1), row["errors"], label=label, **style)
    for panel in panels[-1]:
        panel.set_xlabel("iterate")
    for panels_of_row in panels:
        panels_of_row[0].set_ylabel("relative error")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the files' names but for their endings")
    parser.add_argument("--pages", action="store_true", help="measure nothing, write table and plot anew")
    arguments = parser.parse_args()
    out: Path = arguments.out
    file = out.with_suffix(".json")
    rows: list[Row] = json.loads(file.read_text()) if file.exists() else []
    have = {(row["correction"], row["solver"], row["guidance"], row["steps"]) for row in rows}
    missing = [setting for setting in SETTINGS if setting[:4] not in have]
    if missing and not arguments.pages:
        model = shipped_model()
        for setting in missing:
            rows.append(measure(model, *setting))
            print(line(rows[-1]), flush=True)
            file.write_text(json.dumps(rows, indent=0) + "\n")
        missing = []
    order = [setting[:4] for setting in SETTINGS]
    rows.sort(key=lambda row: order.index((row["correction"], row["solver"], row["guidance"], row["steps"])))
    draw(rows, out.with_suffix(".png"))
    head = " | ".join(f"iterate {p}" for p in range(LAST + 1))
    out.with_suffix(".md").write_text(
        "# Convergence\n\n"
        "Written by `python -m benchmarks.convergence build/benchmarks/convergence`, on the shipped model. The "
        "relative error (RMS over RMS, latent space) of each iterate of SRDS against the serial sampler with the "
        "same solver, with the "
        "bounded and scaled [correction](algorithm.md) (`secant`, the default) and with the paper's `plain` one; mean "
        "over three prompts with a seed each (two for N = 1000). In brackets the rounds until the iterate is complete, "
        "at unbounded width. Heun takes two evaluations for each step but the last, so its serial sampler takes "
        "2 N - 1 rounds.\n\n"
        f"![Error by iterate, for each solver, guidance and N]({out.stem}.png)\n\n"
        f"| correction | solver | guidance | N | B | {head} |\n{'|---' * (LAST + 6)}|\n"
        + "\n".join(map(line, rows))
        + (f"\n\n{len(missing)} settings of `secant` are not measured yet.\n" if missing else "\n")
    )


if __name__ == "__main__":
    main()
