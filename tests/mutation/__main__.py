"""The command `python -m tests.mutation`."""

import argparse
import json
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.mutation.mutants import Mutant, draw
from tests.mutation.trials import TESTS, Copy, tests_about


def measure(copy: Copy) -> dict[str, float]:
    """How many seconds each test file takes without a mutant. They must all pass."""
    folders = sorted({folder for own, users in TESTS.values() for folder in own + users if Path(folder).exists()})
    code, output = copy.pytest("--junitxml=junit.xml", "--override-ini=junit_family=xunit1", *folders)
    if code != 0:
        sys.exit(f"The tests fail without a mutant:\n{output}")
    seconds: defaultdict[str, float] = defaultdict(float)
    for case in ET.parse(copy.folder / "junit.xml").iter("testcase"):
        seconds[case.attrib["file"]] += float(case.attrib["time"])
    return seconds


def report(results: list[dict[str, Any]]) -> str:
    """How many mutants were killed, by package, and which ones survived."""
    lines = ["| package | mutants | killed | timeouts | survived |", "|---|---|---|---|---|"]
    for package in [*TESTS, "all"]:
        count = Counter(each["result"] for each in results if package in (each["package"], "all"))
        lines.append(f"| {package} | {count.total()} | {count['killed']} | {count['timeout']} | {count['survived']} |")
    for each in results:
        if each["result"] == "survived":
            lines += ["", f"{each['file']}:{each['line']} {each['operator']}", "```diff", each["diff"], "```"]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Try mutants of packages.")
    parser.add_argument("packages", nargs="*", default=list(TESTS), help="default: %(default)s")
    parser.add_argument("--number", type=int, default=60, help="mutants of each package")
    parser.add_argument("--seed", type=int, default=14, help="of the draw")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that the tests of a mutant may take")
    parser.add_argument("--near", action="store_true", help="run only the tests that name the mutated module")
    parser.add_argument(
        "--output", type=Path, default=Path("build/mutants"), help="results; a second call continues them"
    )
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    file, times = options.output / "results.jsonl", options.output / "seconds.json"
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(each["file"], each["operator"], each["occurrence"]) for each in results}
    rows = zip_longest(*(draw(package, options.number, options.seed) for package in options.packages))
    drawn = [mutant for row in rows for mutant in row if mutant]  # so that an early end leaves as many of each package
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        made = [Copy(Path(folder) / str(number), options.timeout) for number in range(options.jobs)]
        if not times.exists():
            times.write_text(json.dumps(measure(made[0]), indent=1))
        seconds = json.loads(times.read_text())
        copies = SimpleQueue[Copy]()
        for copy in made:
            copies.put(copy)

        def run(mutant: Mutant) -> None:
            copy = copies.get()
            result = copy.run(mutant, tests_about(mutant, seconds, options.near))
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
