"""`python -m tests.chaos --minutes 10 --seed 7`: prints a table of figures, and ends with 1 if anything was wrong."""

import argparse
import sys

from benchmarks.report import machine, table
from tests.chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long things go wrong")
    parser.add_argument("--seed", type=int, default=7, help="of the faults, and of the pictures")
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--s3", action="store_true", help="keep pictures and checkpoints in object storage")
    options = parser.parse_args()
    found = run(options.jobs, options.minutes * 60, options.seed, s3=options.s3)
    print(", ".join(f"{name} {value}" for name, value in machine().items() if name in ("machine", "load")), "\n")
    print(table(("figure", ""), [(name, _shown(value)) for name, value in found.figures.items()]))
    for each in found.wrong:
        print(f"WRONG: {each}")
    return 1 if found.wrong else 0


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {count}" for name, count in value.items()) or "none"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
