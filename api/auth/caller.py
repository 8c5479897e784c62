"""Who asks: the holder of a key, or anybody at all where the server has no keys."""

from dataclasses import dataclass
from uuid import UUID

from contract.words import Scope
from store.tables import ApiKey


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request. ``key`` is None where the server has no keys, and everybody may do everything.

    ``guest`` is whoever may read one job, because it was shared with a link, and nothing else.
    """

    key: ApiKey | None
    guest: bool = False

    @property
    def key_id(self) -> UUID | None:
        """What the jobs that the caller submits are marked with."""
        return self.key and self.key.id

    @property
    def sees_all(self) -> bool:
        """Whether the caller may see the jobs of others."""
        return not self.guest and (self.key is None or "admin" in self.key.scopes)

    @property
    def owner(self) -> UUID | None:
        """Whose jobs the caller may see; None: everybody's."""
        return None if self.sees_all else self.key_id

    def may(self, scope: Scope) -> bool:
        """Whether the caller's key allows this. An admin may do everything."""
        if self.guest:
            return scope == "read"
        return self.key is None or scope in self.key.scopes or "admin" in self.key.scopes


ANYBODY = Caller(None)
GUEST = Caller(None, guest=True)
