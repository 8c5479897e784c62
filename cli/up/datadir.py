"""The data directory of `underpaint up`: `.underpaint/`."""

from pathlib import Path

from filelock import FileLock, Timeout

from cli.errors import CommandError
from cli.up.guardian import Record


class DataDir:
    """The folders of a data directory, and the lock that one `up` at a time holds."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.postgres = self.path / "postgres"
        self.valkey = self.path / "valkey"
        self.logs = self.path / "logs"
        self.record = Record(self.path / "processes.json")

    @property
    def exists(self) -> bool:
        """Whether it holds a database."""
        return (self.postgres / "PG_VERSION").exists()

    def lock(self) -> FileLock:
        """Creates the folders that are missing, and returns the lock, acquired.

        The operating system releases the lock when its process ends in any way, so it is never stale.

        Raises:
            CommandError: the folder cannot be created, or another `up` uses it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.valkey, self.logs):
                folder.mkdir(exist_ok=True)
            lock = FileLock(self.path / "lock")
            lock.acquire(blocking=False)
        except Timeout as error:
            raise CommandError(
                f"`underpaint up` is already running on {self.path} ({self.record.describe()}). Stop it there with "
                "Ctrl-C, or start another one beside it with --data-dir and --port."
            ) from error
        except OSError as error:
            raise CommandError(
                f"{self.path} cannot be used for data: {error.strerror}. Choose another place with --data-dir or "
                "UNDERPAINT_DATA_DIR."
            ) from error
        return lock
