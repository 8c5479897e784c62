"""Callers: holders of an API key, guests with a share link, or anybody if the server has no keys."""

from dataclasses import dataclass
from uuid import UUID

from contract.words import Scope
from store.tables import ApiKey


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    Attributes:
        key: its API key; None if the server has no keys, and everybody may do everything.
        guest: whether it may only read one job, through a share link.
    """

    key: ApiKey | None
    guest: bool = False

    @property
    def key_id(self) -> UUID | None:
        """The owner of the jobs that the caller submits."""
        return self.key and self.key.id

    @property
    def sees_all(self) -> bool:
        """Whether the caller may see the jobs of other keys."""
        return not self.guest and (self.key is None or "admin" in self.key.scopes)

    @property
    def owner(self) -> UUID | None:
        """The key whose jobs the caller may see; None: all jobs."""
        return None if self.sees_all else self.key_id

    def may(self, scope: Scope) -> bool:
        """Whether the caller has this scope. ``admin`` includes all."""
        if self.guest:
            return scope == "read"
        return self.key is None or scope in self.key.scopes or "admin" in self.key.scopes


ANYBODY = Caller(None)
GUEST = Caller(None, guest=True)
