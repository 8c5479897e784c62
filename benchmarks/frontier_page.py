"""The tables, plots and page of the frontier, from its results."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.methods import AUTO, UNSEEN
from benchmarks.report import table

OURS = (AUTO, UNSEEN, "srds")
PEERS = ("SRDS", "SRDS pipelined", "ParaDiGMS", "ParaTAA", "CHORDS")
BOUNDS = ("0.1", "0.03", "0.01", "0.001")
PLOTTED = 16
COLORS = dict(zip((*OURS, *PEERS), mpl.color_sequences["tab10"], strict=False))

TEXT = """# Rounds, evaluations and error: Underpaint beside its peers

Written by `python -m benchmarks.frontier build/benchmarks` from `frontier.json`, {machine}. Counts do
not depend on the machine. All methods run on the same denoiser, grid and DDIM step, from the same noise.

**Reached** means: from this round on, what the method would show as the whole image stays within the error (RMS of
the difference to the serial sampler's image over RMS, in latent space) until it stops by its own rule. Every sample
must reach it; figures are means over {samples} samples. What is shown is the newest iterate or output for SRDS and
CHORDS. A method whose window has not reached the end shows, after every round, the prediction that needs no further
evaluation: one DDIM step from the last point of the window. Underpaint's collocation counts with the iterates that it
shows. No method gets more rounds than the serial sampler takes. "-" means not
reached. A searched setting is stopped once its error is below 2e-4.

Each method runs with its published settings and with a small search. For each point of the table
the best setting is chosen *after* the fact, which no user could do: this favours every method equally.

| method | source | published setting | searched |
|---|---|---|---|
| `auto` | Underpaint: collocation; for tolerance 0 SRDS ([algorithm.md](../algorithm.md)) | | tolerance {tolerances} |
| `auto`, no previews | the same with `previews: false`: no early picture, as with the peers \
| | the same, and `wish: cost`, which takes few evaluations |
| `srds` | Underpaint: pipelined, shared evaluations | | B by the planner |
| SRDS | Selvam, Merchant, Ermon 2024, [arXiv 2412.08292](https://arxiv.org/abs/2412.08292), algorithm 1 \
| B = sqrt(N), mean change of the image (0..255) below 0.1 | |
| SRDS pipelined | the same, pipelined | the same | B = sqrt(2 N) |
| ParaDiGMS | Shih et al. 2023, [arXiv 2305.16317](https://arxiv.org/abs/2305.16317); diffusers' pipeline \
| tolerance 0.1 | 0.5, 0.02 |
| ParaTAA | Tang et al. 2024, [arXiv 2402.09970](https://arxiv.org/abs/2402.09970); the authors' repository \
| k = 20, m = 2, tolerance 1e-3 | tolerance 1e-2; k = N, m = 1, tolerance 1e-2 |
| CHORDS | Han et al. 2025, [arXiv 2507.15260](https://arxiv.org/abs/2507.15260); the authors' repository \
| starts 0 2 4 8 16 24 32 40 of 50 | as many cores as fit, at most 32, even and quadratic starts |

The files in `benchmarks/peers` say what could not be verified about a method.

Problems: `guidance G` is the shipped model, each sample a prompt and a seed of its own; `modes W` is the exact
denoiser of 512 narrow modes of width W at the leaves of a tree, which is stiff all along the way
(`benchmarks/problems.py`).
"""


@dataclass(frozen=True)
class Figure:
    """What one setting took to reach a bound, in the mean."""

    rounds: float
    evaluations: float
    setting: str
    published: bool

    def __str__(self) -> str:
        return f"{self.rounds:.3g} / {self.evaluations:.3g}" if self.evaluations < 1000 else self._long()

    def _long(self) -> str:
        return f"{self.rounds:.3g} / {self.evaluations:.0f}"


def figures(cell: dict[str, Any], method: str, bound: str) -> list[Figure]:
    """What every setting of a method took on a cell to reach a bound; those that did not are left out. Those of `auto`
    are of `auto` without previews too: from width 8 on it is the same."""
    found: list[Figure] = []
    methods = (AUTO, UNSEEN) if method == UNSEEN else (method,)
    for result in cell["results"]:
        pairs = result["reached"][bound]
        if result["method"] in methods and all(pairs):
            rounds, evaluations = (sum(pair[n] for pair in pairs) / len(pairs) for n in (0, 1))
            found.append(Figure(rounds, evaluations, result["setting"], result["published"]))
    return found


def fewest_rounds(found: Iterable[Figure]) -> Figure | None:
    """The setting with the fewest rounds, of those with the fewest evaluations."""
    return min(found, key=lambda figure: (figure.rounds, figure.evaluations), default=None)


def fewest_evaluations(found: Iterable[Figure]) -> Figure | None:
    """The setting with the fewest evaluations, of those with the fewest rounds."""
    return min(found, key=lambda figure: (figure.evaluations, figure.rounds), default=None)


@dataclass(frozen=True)
class Point:
    """One point of the table: a cell and a bound, and there every setting of `auto`, of `auto` without previews, and of
    all peers."""

    cell: dict[str, Any]
    bound: str
    auto: list[Figure]
    unseen: list[Figure]
    peers: dict[str, list[Figure]]

    def ahead(self, measure: str, *, unseen: bool = False) -> bool:
        """Whether `auto` needs no more of a measure than any peer's best setting; `unseen`: previews or not."""
        mine = min((getattr(f, measure) for f in self._ours(unseen)), default=float("inf"))
        theirs = min((getattr(f, measure) for fs in self.peers.values() for f in fs), default=float("inf"))
        return mine <= theirs

    def dominated(self, *, unseen: bool = False) -> bool:
        """Whether some setting of a peer needs fewer rounds, and fewer evaluations too, than each of `auto` does."""
        return any(
            all(f.rounds < mine.rounds and f.evaluations < mine.evaluations for mine in self._ours(unseen))
            for found in self.peers.values()
            for f in found
        )

    def _ours(self, unseen: bool) -> list[Figure]:
        return self.unseen if unseen else self.auto


def points(cells: Iterable[dict[str, Any]]) -> Iterator[Point]:
    """All points of the table."""
    for cell in cells:
        for bound in BOUNDS:
            peers = {method: figures(cell, method, bound) for method in PEERS}
            yield Point(cell, bound, figures(cell, AUTO, bound), figures(cell, UNSEEN, bound), peers)


def summary(cells: list[dict[str, Any]]) -> str:
    """How many points `auto` is ahead at, for each problem and N."""
    rows: list[tuple[Any, ...]] = []
    for problem, steps in dict.fromkeys((cell["problem"], cell["steps"]) for cell in cells):
        here = list(points(cell for cell in cells if (cell["problem"], cell["steps"]) == (problem, steps)))
        rows.append((problem, steps, *_ahead(here)))
    head = ["problem", "N", "points"]
    for what in ("fewest rounds", "fewest evaluations", "beaten in both by one setting of a peer"):
        head += [what, "without previews"]
    return table(head, [*rows, ("all", "", *_ahead(list(points(cells))))])


def _ahead(here: Sequence[Point]) -> tuple[int, ...]:
    ahead = [
        sum(point.ahead(measure, unseen=unseen) for point in here)
        for measure in ("rounds", "evaluations")
        for unseen in (False, True)
    ]
    beaten = [sum(point.dominated(unseen=unseen) for point in here) for unseen in (False, True)]
    return len(here), *ahead, *beaten


def behind(cells: list[dict[str, Any]]) -> str:
    """Every point where a peer needs fewer rounds than `auto`, with both figures."""
    lines = [
        "| problem | N | width | error | `auto`, rounds / evaluations | without previews | fewest rounds of a peer "
        "| its setting |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for point in points(cells):
        if point.ahead("rounds"):
            continue
        mine, unseen = fewest_rounds(point.auto), fewest_rounds(point.unseen)
        best = {m: f for m, found in point.peers.items() if (f := fewest_rounds(found)) is not None}
        method = min(best, key=lambda m: (best[m].rounds, best[m].evaluations))
        cell = point.cell
        lines.append(
            f"| {cell['problem']} | {cell['steps']} | {cell['width'] or 'unbounded'} | {point.bound} | {mine or '-'} "
            f"| {unseen or '-'} | {best[method]} | {method}, {best[method].setting} |"
        )
    return "\n".join(lines)


def tables(cells: list[dict[str, Any]]) -> Iterator[str]:
    """A table for each problem and N: of each method the setting with the fewest rounds, and the published one."""
    for problem, steps in dict.fromkeys((cell["problem"], cell["steps"]) for cell in cells):
        yield f"## {problem}, N = {steps}\n"
        yield f"| error | width | {' | '.join((*OURS, *PEERS))} |\n|---|---|{'---|' * len((*OURS, *PEERS))}"
        for bound in BOUNDS:
            for cell in cells:
                if (cell["problem"], cell["steps"]) == (problem, steps):
                    row = " | ".join(_entry(figures(cell, method, bound), method) for method in (*OURS, *PEERS))
                    yield f"| {bound} | {cell['width'] or 'unbounded'} | {row} |"
        yield ""


def _entry(found: list[Figure], method: str) -> str:
    best = fewest_rounds(found)
    if best is None:
        return "-"
    published = fewest_rounds(f for f in found if f.published)
    if method in OURS or best.published:
        return str(best)
    return f"{best} ({published or '-'})"


def plot(cells: list[dict[str, Any]], problem: str, width: int, file: Path) -> None:
    """The frontier of one problem at one width: error against rounds and against evaluations, a column for each N."""
    here = [cell for cell in cells if cell["problem"] == problem and cell["width"] == width]
    made, axes = plt.subplots(2, len(here), figsize=(4 * len(here), 7), squeeze=False, sharey=True)
    for column, cell in enumerate(here):
        for row, (measure, best) in enumerate((("rounds", fewest_rounds), ("evaluations", fewest_evaluations))):
            pane = axes[row][column]
            for method in (*OURS, *PEERS):
                line = [(getattr(f, measure), float(b)) for b in BOUNDS if (f := best(figures(cell, method, b)))]
                if line:
                    pane.plot(*zip(*line, strict=True), "o-", color=COLORS[method], label=method)
            pane.axvline(cell["steps"], color="#bbb", linestyle=":")
            pane.set(xscale="log", yscale="log", xlabel=measure)
            if row == 0:
                pane.set_title(f"N = {cell['steps']}")
    for row in axes:
        row[0].set_ylabel("relative error reached")
    handles, labels = axes[0][0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=4)
    made.suptitle(f"{problem}, width {width}: lower left is better; dotted: the serial sampler")
    made.set_layout_engine("constrained")
    made.savefig(file, dpi=80)
    plt.close(made)


def write_pages(folder: Path, results: dict[str, Any]) -> None:
    """Write frontier.md, frontier-tables.md and a plot for each problem into the folder."""
    mpl.use("agg")
    cells = sorted(results["cells"].values(), key=lambda c: (c["problem"], c["steps"], c["width"] or 10**9))
    problems = dict.fromkeys(cell["problem"] for cell in cells)
    widths = {cell["width"] for cell in cells}
    width = PLOTTED if PLOTTED in widths else max(widths)
    pictures = {problem: f"frontier-{problem.replace(' ', '-')}.png" for problem in problems}
    for problem, name in pictures.items():
        plot(cells, problem, width, folder / name)
    about = ", ".join(f"{name} {value}" for name, value in results["about"].items())
    tolerances = ", ".join(
        dict.fromkeys(
            result["setting"].removeprefix("tolerance=")
            for cell in cells
            for result in cell["results"]
            if result["method"] == AUTO
        )
    )
    samples = " or ".join(str(count) for count in sorted({cell["samples"] for cell in cells}))
    shown = "\n\n".join(f"![{problem}, width {width}]({name})" for problem, name in pictures.items())
    (folder / "frontier.md").write_text(
        TEXT.format(machine=about, samples=samples, tolerances=tolerances)
        + "\n## Where `auto` stands\n\nPoints are all widths and the errors 1e-1, 3e-2, 1e-2 and 1e-3. All figures "
        "are in `frontier-tables.md`.\n\n"
        + summary(cells)
        + "\n\n## Where a peer needs fewer rounds\n\n"
        + behind(cells)
        + f"\n\n## Plots\n\n{shown}\n"
    )
    (folder / "frontier-tables.md").write_text(
        "# Rounds / evaluations until an error is reached\n\nSee [frontier.md](frontier.md). Of each method the "
        "setting with the fewest rounds, in brackets the published one where it is another.\n\n"
        + "\n".join(tables(cells))
        + "\n"
    )
