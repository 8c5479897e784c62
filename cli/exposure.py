"""A server without keys serves everybody who can reach it: so it listens where only this machine can."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cli.errors import Explained
from store import keys
from store.database import sync_engine
from store.settings import ApiSettings


def refuse_if_open(settings: ApiSettings, url: str) -> None:
    """Sees that a server that others can reach has a key.

    A database that cannot be asked refuses nothing: the server itself then serves nobody before it has found a key.

    Raises:
        Explained: it has none; says what to do.
    """
    if not settings.exposed or keyed(url) is not False:
        return
    where = settings.published or settings.host
    raise Explained(
        f"The server has no keys, and whoever reaches {where} could use it. Make a key with\n"
        "  underpaint keys create NAME\n"
        "or listen on 127.0.0.1, or set UNDERPAINT_ALLOW_OPEN=true if something in front of the server sees to who may "
        "use it."
    )


def keyed(url: str) -> bool | None:
    """Whether the server asks for a key; None where the database cannot be asked."""
    engine = sync_engine(url, pool_size=1)
    try:
        with Session(engine) as session:
            return bool(session.scalar(keys.count()))
    except DBAPIError:
        return None
    finally:
        engine.dispose()
