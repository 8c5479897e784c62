"""How often a transaction is tried."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from store.database import sync_engine, sync_sessions
from store.pictures import PicturesUnavailable
from tasks.outages import GaveUp, transact


def test_a_connection_that_died_is_replaced_even_without_hope(
    database: Engine, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = sync_engine(postgres_url, pool_size=1, ping=False)
    sessions = sync_sessions(engine)
    ask = text("select pg_backend_pid()")
    first = transact(sessions, lambda session: session.scalar(ask), what="first")
    with database.connect() as connection:
        connection.execute(text("select pg_terminate_backend(:pid, 60000)"), {"pid": first})
    assert transact(sessions, lambda session: session.scalar(ask), what="second") not in (None, first)
    assert caplog.messages == []
    engine.dispose()


@pytest.mark.parametrize("tries", [2, 4])
def test_it_is_tried_until_it_is_hopeless_and_logged_once(tries: int, caplog: pytest.LogCaptureFixture) -> None:
    sessions = sync_sessions(sync_engine("postgresql://u:p@127.0.0.1:1/u", pool_size=1))
    made: list[Session] = []

    def work(session: Session) -> None:
        made.append(session)
        session.execute(text("select 1"))

    with pytest.raises(GaveUp, match="work: "):
        transact(sessions, work, hopeless=lambda: len(made) == tries, what="work")
    assert len(made) == tries
    assert len(caplog.messages) == (0 if tries == 2 else 1)


def test_the_log_names_what_is_away(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    failures = iter([PicturesUnavailable("no route"), PicturesUnavailable("no route")])

    def work(session: Session) -> str:
        for failure in failures:
            raise failure
        return "done"

    caplog.set_level("INFO")
    assert transact(sync_sessions(engine), work, hopeless=lambda: False, what="work") == "done"
    assert caplog.messages == [
        "work: the pictures are away, trying until they are back: no route",
        "work: the pictures are back",
    ]
