"""`underpaint webhook-secret`: what receivers of webhooks verify signatures with."""

from pathlib import Path

from sqlalchemy.orm import Session

from cli.errors import Explained
from cli.keys.database import on_database
from store import keys, webhook_secrets
from store.settings import WebhookSettings


def shown(data_dir: Path, key: str | None, new: bool) -> str:
    """The secret of a key's webhooks, or of those of jobs without a key (None).

    Raises:
        Explained: there is no such key, or the settings name the secret that was to be replaced.
    """
    named = WebhookSettings().webhook_secret
    if key is None and named:
        if new:
            raise Explained("The secret is that of UNDERPAINT_WEBHOOK_SECRET: change it there.")
        return named
    return on_database(data_dir, lambda session: _secret(session, key, new))


def _secret(session: Session, key: str | None, new: bool) -> str:
    made = webhook_secrets.new_secret()
    if key is None:
        session.execute(webhook_secrets.replace(made, None) if new else webhook_secrets.keep(made))
        return session.scalars(webhook_secrets.kept()).one()
    found = session.scalars(keys.named(key)).one_or_none()
    if found is None:
        raise Explained(f"There is no key named {key!r}. `underpaint keys list` shows those that there are.")
    if new or found.webhook_secret is None:
        session.execute(webhook_secrets.replace(made, key))
        return made
    return found.webhook_secret
