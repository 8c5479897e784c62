"""The secret that signs addresses of pictures which can be fetched without an API key."""

from secrets import token_urlsafe

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.dialects.postgresql.dml import Insert

from store.tables import server_secrets

NAME = "links"
RANDOM_BYTES = 32


def keep() -> Insert:
    """Store a new random secret, unless there is one."""
    values = {"name": NAME, "value": token_urlsafe(RANDOM_BYTES)}
    return insert(server_secrets).values(values).on_conflict_do_nothing()


def kept() -> Select[str]:
    """The secret, or nothing."""
    return select(server_secrets.c.value).where(server_secrets.c.name == NAME)
