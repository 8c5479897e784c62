"""`underpaint webhook-secret`."""

from functools import partial

import pytest
from sqlalchemy import Engine

from store.webhook_secrets import key_of, new_secret
from tests.cli.running import run


@pytest.fixture
def ask(postgres_url: str, database: Engine):
    return partial(run, UNDERPAINT_DATABASE_URL=postgres_url)


@pytest.mark.slow
def test_the_servers_and_that_of_a_key(ask) -> None:
    first = ask("webhook-secret").stdout.strip()
    assert len(key_of(first)) == 32
    assert ask("webhook-secret").stdout.strip() == first
    second = ask("webhook-secret", "--new").stdout.strip()
    assert second != first
    assert ask("webhook-secret").stdout.strip() == second
    assert ask("keys", "create", "ann").returncode == 0
    anns = ask("webhook-secret", "ann").stdout.strip()
    assert len(key_of(anns)) == 32
    assert anns not in (first, second)
    assert ask("webhook-secret", "ann", "--new").stdout.strip() != anns
    missing = ask("webhook-secret", "bob")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no key named" in missing.stderr


def test_that_of_the_settings(ask) -> None:
    secret = new_secret()
    assert ask("webhook-secret", UNDERPAINT_WEBHOOK_SECRET=secret).stdout.strip() == secret
    refused = ask("webhook-secret", "--new", UNDERPAINT_WEBHOOK_SECRET=secret)
    assert refused.returncode == 1
    assert "UNDERPAINT_WEBHOOK_SECRET" in refused.stderr
    wrong = ask("webhook-secret", UNDERPAINT_WEBHOOK_SECRET="whsec_short")
    assert wrong.returncode == 1
    assert "24 to 64 bytes" in wrong.stderr
    assert "short" not in wrong.stderr
