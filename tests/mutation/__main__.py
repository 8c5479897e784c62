"""The command `python -m tests.mutation`."""

import argparse
import json
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.mutation.mutants import Mutant, draw
from tests.mutation.reach import FOLDERS, Reach, measure
from tests.mutation.trials import Copy

PACKAGES = ("contract", "sampler", "store", "tasks", "api")


def report(results: list[dict[str, Any]]) -> str:
    """How many mutants were killed, by package, and which ones survived."""
    lines = ["| package | mutants | killed | share | timeouts | survived |", "|---|---|---|---|---|---|"]
    for package in [*PACKAGES, "all"]:
        count = Counter(each["result"] for each in results if package in (each["package"], "all"))
        share = f"{count['killed'] / max(count.total(), 1):.0%}"
        figures = (count.total(), count["killed"], share, count["timeout"], count["survived"])
        lines.append(f"| {package} | {' | '.join(map(str, figures))} |")
    for each in results:
        if each["result"] != "killed":
            tried = f"{each['result']} {each['tests']} tests, {each['left_out']} left out"
            lines += ["", f"{each['file']}:{each['line']} {each['operator']}: {tried}", "```diff", each["diff"], "```"]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Try mutants of packages.")
    parser.add_argument("packages", nargs="*", default=PACKAGES, help="default: %(default)s")
    parser.add_argument("--number", type=int, default=60, help="mutants of each package")
    parser.add_argument("--seed", type=int, default=14, help="of the draw")
    parser.add_argument("--without", action="append", default=[], help="a file or folder that is not mutated")
    parser.add_argument(
        "--tests", nargs="+", default=FOLDERS, help="folders of tests that are measured; default: %(default)s"
    )
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--budget", type=float, default=120, help="seconds of tests of a mutant, measured without it")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds after which a mutant counts as a timeout")
    parser.add_argument(
        "--output", type=Path, default=Path("build/mutants"), help="results; a second call continues them"
    )
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    file, reached = options.output / "results.jsonl", options.output / "reach.json"
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(each["file"], each["operator"], each["occurrence"]) for each in results}
    rows = zip_longest(*(draw(each, options.number, options.seed, options.without) for each in options.packages))
    drawn = [mutant for row in rows for mutant in row if mutant]  # so that an early end leaves as many of each package
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        made = [Copy(Path(folder) / str(number), options.timeout) for number in range(options.jobs)]
        if not reached.exists():
            measure(made, options.tests).save(reached)
        reach = Reach.load(reached)
        copies = SimpleQueue[Copy]()
        for copy in made:
            copies.put(copy)

        def run(mutant: Mutant) -> None:
            copy = copies.get()
            tests, left_out = reach.tests(mutant, options.budget)
            result = {**copy.run(mutant, tests, reach.failed), "tests": len(tests), "left_out": left_out}
            copies.put(copy)
            results.append(result)
            with file.open("a") as lines:
                lines.write(json.dumps(result) + "\n")
            print(
                f"{result['result']:8} {mutant.file}:{mutant.line} {mutant.operator} {result['seconds']} s", flush=True
            )

        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(run, [each for each in drawn if (each.file, each.operator, each.occurrence) not in done]))
        for copy in made:
            copy.close()
    (options.output / "report.md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
