"""How Alembic reaches the database; run by every ``alembic`` command and by ``migrations.upgrade``."""

from alembic import context
from sqlalchemy import Connection, text

from store.database import sync_engine
from store.settings import StoreSettings
from store.tables import Base

# Any constant that nothing else locks on in this database: "underpa" in ASCII.
ADVISORY_LOCK = int.from_bytes(b"underpa", "big")


def migrate(connection: Connection) -> None:
    """Run what the command asked for, in one transaction that no other migration shares."""
    context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        # A statement that waits for a lock makes all later ones wait, too: fail instead.
        connection.execute(text("set local lock_timeout = '3s'"))
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("these migrations run against a database, not as a script (--sql)")

engine = sync_engine(context.config.attributes.get("database_url") or StoreSettings().database_url)
try:
    with engine.connect() as connection:
        migrate(connection)
finally:
    engine.dispose()
