"""What `underpaint keys` and `webhook-secret` do in the database."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cli.database import on_database
from cli.errors import CommandError
from contract.words import Scope
from store import keys, webhook_secrets
from store.settings import WebhookSettings
from store.tables import ApiKey


def create(data_dir: Path, name: str, scopes: Sequence[Scope], **limits: Any) -> tuple[ApiKey, str]:
    """Creates a key. Returns its row, and the key itself.

    Raises:
        CommandError: the name is taken, or the database cannot be reached.
    """
    key = keys.new_key()

    def insert(session: Session) -> ApiKey:
        try:
            session.execute(keys.create(name, key, scopes, **limits))
        except IntegrityError as error:
            raise CommandError(
                f"There is or was a key named {name!r}. Choose another name, or replace that key with "
                f"`underpaint keys rotate {name}`."
            ) from error
        return session.scalars(keys.named(name)).one()

    return on_database(data_dir, insert), key


def rotate(data_dir: Path, name: str) -> tuple[ApiKey, str]:
    """Replaces a key that is not revoked, as ``create`` makes one."""
    key = keys.new_key()
    return on_database(data_dir, lambda session: _changed(session, name, keys.replace(name, key))), key


def revoke(data_dir: Path, name: str) -> ApiKey:
    """Revokes a key, and returns its row."""
    return on_database(data_dir, lambda session: _changed(session, name, keys.revoke(name)))


def listed(data_dir: Path) -> list[ApiKey]:
    """All keys, oldest first."""
    return on_database(data_dir, lambda session: list(session.scalars(keys.listed())))


def webhook_secret(data_dir: Path, name: str | None, new: bool) -> str:
    """The secret that signs the webhooks of a key's jobs, or with None those of jobs without a key. ``new`` replaces it
    first.

    Raises:
        CommandError: there is no such key, or the secret to replace is that of the settings.
    """
    from_settings = WebhookSettings().webhook_secret
    if name is None and from_settings:
        if new:
            raise CommandError("The secret is that of UNDERPAINT_WEBHOOK_SECRET: change it there.")
        return from_settings
    return on_database(data_dir, lambda session: _webhook_secret(session, name, new))


def _webhook_secret(session: Session, name: str | None, new: bool) -> str:
    secret = webhook_secrets.new_secret()
    if name is None:
        session.execute(webhook_secrets.replace(secret, None) if new else webhook_secrets.keep(secret))
        return session.scalars(webhook_secrets.kept()).one()
    existing = _named(session, name).webhook_secret
    if existing and not new:
        return existing
    session.execute(webhook_secrets.replace(secret, name))
    return secret


def _changed(session: Session, name: str, change: Any) -> ApiKey:
    changed = session.execute(change.returning(ApiKey.id)).one_or_none()
    key = _named(session, name)
    if changed is None:
        raise CommandError(f"The key {name!r} was revoked before, at {key.revoked_at:%Y-%m-%d %H:%M} UTC.")
    return key


def _named(session: Session, name: str) -> ApiKey:
    found = session.scalars(keys.named(name)).one_or_none()
    if found is None:
        raise CommandError(f"There is no key named {name!r}. `underpaint keys list` lists all keys.")
    return found
