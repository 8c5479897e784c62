"""Run every benchmark: `python -m benchmarks build/benchmarks`, or some of them: `--only clock engine`.

Each has flags of its own for larger runs: `python -m benchmarks.NAME --help`. If one fails, the others still run.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

# At their smallest useful size. The frontier measures only what its file does not have yet.
NAMES = ("frontier", "devices", "engine", "clock", "service", "growth")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    options = parser.parse_args()
    failed: list[str] = []
    for name in options.only:
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", str(options.out)], check=False).returncode
        print(f"{name}: {'done' if code == 0 else 'failed'} in {time.monotonic() - began:.0f} s", flush=True)
        failed += [name] if code else []
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
