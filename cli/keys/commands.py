"""What `underpaint keys` does to the database."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cli.errors import Explained
from cli.keys.database import on_database
from contract.words import Scope
from store import keys
from store.tables import ApiKey


def create(data_dir: Path, name: str, scopes: Sequence[Scope], **limits: Any) -> tuple[ApiKey, str]:
    """A new key: what is stored of it, and the key itself.

    Raises:
        Explained: the name is taken, or there is no database.
    """
    key = keys.new_key()

    def insert(session: Session) -> ApiKey:
        try:
            session.execute(keys.create(name, key, scopes, **limits))
        except IntegrityError as error:
            raise Explained(
                f"There is a key named {name!r} already, or was one. Choose another name, or replace that key with "
                f"`underpaint keys rotate {name}`."
            ) from error
        return session.scalars(keys.named(name)).one()

    return on_database(data_dir, insert), key


def rotate(data_dir: Path, name: str) -> tuple[ApiKey, str]:
    """``create`` in the place of a key that works until now."""
    key = keys.new_key()
    return on_database(data_dir, lambda session: _changed(session, name, keys.replace(name, key))), key


def revoke(data_dir: Path, name: str) -> ApiKey:
    """Revokes a key, and returns what is stored of it."""
    return on_database(data_dir, lambda session: _changed(session, name, keys.revoke(name)))


def listed(data_dir: Path) -> list[ApiKey]:
    """All keys, oldest first."""
    return on_database(data_dir, lambda session: list(session.scalars(keys.listed())))


def _changed(session: Session, name: str, change: Any) -> ApiKey:
    changed = session.execute(change.returning(ApiKey.id)).one_or_none()
    found = session.scalars(keys.named(name)).one_or_none()
    if found is None:
        raise Explained(f"There is no key named {name!r}. `underpaint keys list` shows those that there are.")
    if changed is None:
        raise Explained(f"The key {name!r} was revoked before, at {found.revoked_at:%Y-%m-%d %H:%M} UTC.")
    return found
