"""The secrets that sign webhooks, in the format of Standard Webhooks: ``whsec_`` and base64."""

import base64
import binascii
import secrets

from sqlalchemy import Select, Update, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.dml import Insert

from store.tables import ApiKey, server_secrets

PREFIX = "whsec_"
NAME = "webhook"


def new_secret() -> str:
    """A new secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """The bytes to sign with.

    Raises:
        ValueError: it is not a secret of 24 to 64 bytes, as Standard Webhooks requires.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError(f"a webhook secret is {PREFIX} and 24 to 64 bytes in base64")
    return key


def keep(secret: str) -> Insert:
    """Store the server's secret, unless there is one."""
    return insert(server_secrets).values(name=NAME, value=secret).on_conflict_do_nothing()


def replace(secret: str, name: str | None) -> Insert | Update:
    """Replace the secret of the key with this name, or of the server (None)."""
    if name is not None:
        return update(ApiKey).where(ApiKey.name == name).values(webhook_secret=secret)
    anew = insert(server_secrets).values(name=NAME, value=secret)
    return anew.on_conflict_do_update(index_elements=["name"], set_={"value": secret})


def kept() -> Select[str]:
    """The server's secret as stored in the database, or nothing."""
    return select(server_secrets.c.value).where(server_secrets.c.name == NAME)
