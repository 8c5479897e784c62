"""The database's schema, step by step (Alembic).

On the command line ``alembic upgrade head`` reads ``[tool.alembic]`` of pyproject.toml and ``UNDERPAINT_DATABASE_URL``;
programs call ``upgrade``.
"""

from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.database import sync_engine


def config(url: str) -> Config:
    """Alembic's configuration for these migrations and the database at ``url``."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.attributes["database_url"] = url
    return made


def upgrade(url: str) -> None:
    """Bring the database at ``url`` to the newest schema. Several callers at once are safe: one migrates, the others
    wait for it and find nothing to do.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached, or a table stayed locked by others.
    """
    command.upgrade(config(url), "head")


def standing(url: str) -> Literal["current", "behind", "ahead"]:
    """How the schema of the database at ``url`` compares to these migrations; ahead: none of them has made it.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached.
    """
    script = ScriptDirectory.from_config(config(url))
    engine = sync_engine(url, pool_size=1)
    try:
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_heads()
    finally:
        engine.dispose()
    if set(found) == set(script.get_heads()):
        return "current"
    known = {each.revision for each in script.walk_revisions()}
    return "behind" if set(found) <= known else "ahead"
