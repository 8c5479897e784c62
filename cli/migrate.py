"""`underpaint migrate`, and the same step of `up`."""

from sqlalchemy.exc import DBAPIError

from cli.errors import Explained
from migrations import upgrade


def migrate(url: str) -> None:
    """Brings the tables of the database at ``url`` up to date.

    Raises:
        Explained: the database cannot be reached, or refused.
    """
    try:
        upgrade(url)
    except DBAPIError as error:
        raise Explained(f"The database could not be brought up to date: {str(error.orig).strip()}") from error
