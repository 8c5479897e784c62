"""API keys: how they are made, and the statements that keep, list, replace and revoke them.

A key is 32 random bytes behind ``up_``. Only its SHA-256 is stored. A slow hash (argon2, bcrypt) protects what people
choose, which can be guessed; 256 random bits cannot, however fast the hash, and a slow one would be paid with every
request.

A key that is revoked stays as a row: its jobs are still there, and a server whose only key was revoked must not be open
to everybody again.
"""

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from secrets import token_urlsafe
from uuid import UUID, uuid4

from sqlalchemy import Insert, Select, Update, func, insert, literal, or_, select, update

from contract.words import Scope
from store.tables import ApiKey, Job
from store.webhook_secrets import new_secret

PREFIX = "up_"
RANDOM_BYTES = 32
SHOWN = len(PREFIX) + 8  # characters of the key that are kept to recognise it by

USE_NOTED_EVERY = timedelta(minutes=1)


def new_key() -> str:
    """A key that nobody can guess."""
    return PREFIX + token_urlsafe(RANDOM_BYTES)


def hashed(key: str) -> str:
    """What is stored of a key: its SHA-256, in hexadecimal."""
    return sha256(key.encode(errors="surrogateescape")).hexdigest()


def create(
    name: str,
    key: str,
    scopes: Sequence[Scope],
    *,
    expires_days: float | None = None,
    requests_per_minute: int | None = None,
    max_running: int | None = None,
    max_queued: int | None = None,
) -> Insert:
    """Keep a key under a name that no other key has ever had. Limits that are None are the server's defaults."""
    return insert(ApiKey).values(
        id=uuid4(),
        name=name,
        prefix=key[:SHOWN],
        hash=hashed(key),
        scopes=list(scopes),
        requests_per_minute=requests_per_minute,
        max_running=max_running,
        max_queued=max_queued,
        webhook_secret=new_secret(),
        expires_at=None if expires_days is None else func.now() + literal(timedelta(days=expires_days)),
    )


def replace(name: str, key: str) -> Update:
    """Let another key take the place of the one with this name, which no longer works from then on: jobs, scopes and
    limits stay. No row is changed where the key was revoked or is not there."""
    changed = update(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None))
    return changed.values(prefix=key[:SHOWN], hash=hashed(key))


def revoke(name: str) -> Update:
    """Let a key work no longer. Its jobs stay. No row is changed where it was revoked or is not there."""
    return update(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None)).values(revoked_at=func.now())


def listed() -> Select[ApiKey]:
    """All keys, those that work no longer too, oldest first."""
    return select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)


def named(name: str) -> Select[ApiKey]:
    """The key with this name, or nothing."""
    return select(ApiKey).where(ApiKey.name == name)


def count() -> Select[int]:
    """How many keys there are or ever were: from the first one on, the server asks for a key."""
    return select(func.count()).select_from(ApiKey)


def working() -> Select[ApiKey]:
    """The keys that are neither revoked nor expired."""
    unexpired = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())
    return select(ApiKey).where(ApiKey.revoked_at.is_(None), unexpired).execution_options(populate_existing=True)


def used(key_id: UUID) -> Update:
    """Note that a key was used. Once a minute is enough, whoever asks for it."""
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - literal(USE_NOTED_EVERY))
    return update(ApiKey).where(ApiKey.id == key_id, stale).values(last_used_at=func.now())


def lock(key_id: UUID) -> Select[UUID]:
    """Until the transaction ends, others that lock this key wait; nobody else does."""
    return select(ApiKey.id).where(ApiKey.id == key_id).with_for_update(key_share=True)


def queued(key_id: UUID) -> Select[int]:
    """How many jobs of a key are queued."""
    return select(func.count()).select_from(Job).where(Job.key_id == key_id, Job.state == "queued")
