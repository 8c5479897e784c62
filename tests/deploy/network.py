"""Machines of a test: network namespaces of this computer, each with an address of its own, on one bridge."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.until import PATIENCE

Child = subprocess.Popen[bytes]


def _ip(*words: str) -> None:
    ran = subprocess.run(["ip", *words], capture_output=True, text=True)
    if ran.returncode:
        raise OSError(f"ip {' '.join(words)}: {ran.stderr}")


class Network:
    """Machines, by name. Namespaces and links have names that no other process uses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mark = f"u{os.getpid()}"
        self._third = os.getpid() % 254 + 1
        self.addresses: dict[str, str] = {}
        self._children: list[Child] = []

    def open(self) -> None:
        """Raises: OSError if this process may not make namespaces."""
        _ip("link", "add", self._mark, "type", "bridge")
        _ip("addr", "add", f"10.91.{self._third}.254/24", "dev", self._mark)
        _ip("link", "set", self._mark, "up")

    def add(self, name: str) -> str:
        """A machine. Returns its address."""
        number = len(self.addresses) + 1
        space, outside = self._space(name), self._outside(number)
        _ip("netns", "add", space)
        _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", outside, "master", self._mark, "up")
        self.addresses[name] = f"10.91.{self._third}.{number}"
        _ip("-n", space, "addr", "add", f"{self.addresses[name]}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "link", "set", "lo", "up")
        return self.addresses[name]

    def start(self, machine: str, *command: str | Path, user: str | None = None, **settings: str) -> None:
        """Run a program on a machine, if given as another user."""
        run = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] if user else []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("UNDERPAINT_")}
        with self._log(machine).open("ab") as log:
            child = subprocess.Popen(
                ["ip", "netns", "exec", self._space(machine), *run, *map(str, command)],
                env={**environment, **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._children.append(child)

    def unplug(self, machine: str) -> None:
        """Nothing reaches the machine any more, and nothing leaves it."""
        _ip("link", "set", self._outside([*self.addresses].index(machine) + 1), "down")

    def log(self, machine: str) -> str:
        """What the programs of a machine have written."""
        return self._log(machine).read_text()

    def logs(self) -> str:
        """The end of what each machine has written."""
        logs = {name: self._log(name) for name in self.addresses}
        ends = {name: log.read_text().splitlines()[-15:] for name, log in logs.items() if log.exists()}
        return "\n".join(f"--- {name}\n" + "\n".join(lines) for name, lines in ends.items())

    def close(self) -> None:
        """End every process of the machines, and remove them."""
        for name in self.addresses:
            found = subprocess.run(["ip", "netns", "pids", self._space(name)], capture_output=True, text=True)
            for process in found.stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
        for child in self._children:
            child.wait(PATIENCE)
        for number, name in enumerate(self.addresses, 1):
            _ip("link", "del", self._outside(number))
            _ip("netns", "del", self._space(name))
        _ip("link", "del", self._mark)

    def _log(self, machine: str) -> Path:
        return self._folder / f"{machine}.log"

    def _space(self, machine: str) -> str:
        return f"{self._mark}-{machine}"

    def _outside(self, number: int) -> str:
        return f"{self._mark}v{number}"


@contextmanager
def network(folder: Path) -> Iterator[Network]:
    made = Network(folder)
    made.open()
    try:
        yield made
    finally:
        made.close()
