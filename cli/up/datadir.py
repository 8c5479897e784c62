"""The folder that holds everything `underpaint up` keeps: `.underpaint/`."""

from pathlib import Path

from filelock import FileLock, Timeout

from cli.errors import Explained
from cli.up.leftovers import Record


class DataDir:
    """Where things lie in the data directory, and the lock that makes one `up` its only user."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.postgres = self.path / "postgres"
        self.valkey = self.path / "valkey"
        self.logs = self.path / "logs"
        self.record = Record(self.path / "processes.json")

    def open(self) -> FileLock:
        """Makes the folder where it is missing, and returns its lock, held.

        The system drops the lock with the process that holds it, however that ends, so it is never stale.

        Raises:
            Explained: the folder cannot be made, or another `up` uses it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.valkey, self.logs):
                folder.mkdir(exist_ok=True)
            lock = FileLock(self.path / "lock")
            lock.acquire(blocking=False)
        except Timeout as error:
            raise Explained(
                f"`underpaint up` is already running on {self.path} ({self.record.describe()}). Stop it there with "
                "Ctrl-C, or start another one beside it with --data-dir and --port."
            ) from error
        except OSError as error:
            raise Explained(
                f"{self.path} cannot be used for data: {error.strerror}. Choose another place with --data-dir or "
                "UNDERPAINT_DATA_DIR."
            ) from error
        return lock
