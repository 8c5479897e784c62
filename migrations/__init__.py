"""The database's schema, step by step (Alembic).

On the command line ``alembic upgrade head`` reads ``[tool.alembic]`` of pyproject.toml and ``UNDERPAINT_DATABASE_URL``;
programs call ``upgrade``.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config


def config(url: str) -> Config:
    """Alembic's configuration for these migrations and the database at ``url``."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.attributes["database_url"] = url
    return made


def upgrade(url: str) -> None:
    """Bring the database at ``url`` to the newest schema. Several callers at once are safe: one migrates, the others
    wait for it and find nothing left to do.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached, or a table stayed locked by others.
    """
    command.upgrade(config(url), "head")
