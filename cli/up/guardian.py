"""Waits for the end of its parent; if the parent had no time to stop what it started, stops that.

`up` starts `python -m cli.up.guardian RECORD` first of all and holds the other end of its standard input. That pipe
closes when `up` ends, even by SIGKILL. A plain stop has emptied the record by then, and nothing is left to do.
"""

import signal
import sys
from pathlib import Path

from cli.up.leftovers import Record


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # those are meant for the parent, and end this process through it
    record = Record(Path(sys.argv[1]))
    sys.stdin.buffer.read()
    record.stop_all(lambda line: None)


if __name__ == "__main__":
    main()
