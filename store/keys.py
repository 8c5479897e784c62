"""API keys: how they are made, and the statements that keep, list, replace and revoke them.

A key is 32 random bytes behind ``up_``. Only its SHA-256 is stored. A slow hash (argon2, bcrypt) protects what people
choose, which can be guessed; 256 random bits cannot, however fast the hash, and a slow one would be paid with every
request.

The row of a revoked key stays: its jobs refer to it, and a server whose only key was revoked must not become open to
everybody again.
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
SHOWN = len(PREFIX) + 8  # leading characters that are stored, to recognise the key by

USE_NOTED_EVERY = timedelta(minutes=1)


def new_key() -> str:
    """A new random key."""
    return PREFIX + token_urlsafe(RANDOM_BYTES)


def hashed(key: str) -> str:
    """The SHA-256 of a key in hexadecimal, which is what is stored."""
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
    """Store a key under a unique name. A limit of None means the server's default."""
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
    """Replace the key with this name, which stops working; its jobs, scopes and limits stay. Changes no row if the key
    was revoked or does not exist."""
    changed = update(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None))
    return changed.values(prefix=key[:SHOWN], hash=hashed(key))


def revoke(name: str) -> Update:
    """Revoke a key. Its jobs stay. Changes no row if it was revoked before or does not exist."""
    return update(ApiKey).where(ApiKey.name == name, ApiKey.revoked_at.is_(None)).values(revoked_at=func.now())


def listed() -> Select[ApiKey]:
    """All keys, revoked and expired ones too, oldest first."""
    return select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)


def named(name: str) -> Select[ApiKey]:
    """The key with this name, or nothing."""
    return select(ApiKey).where(ApiKey.name == name)


def count() -> Select[int]:
    """How many keys were ever created: from the first one on, the server requires a key."""
    return select(func.count()).select_from(ApiKey)


def working() -> Select[ApiKey]:
    """The keys that are neither revoked nor expired."""
    unexpired = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now())
    return select(ApiKey).where(ApiKey.revoked_at.is_(None), unexpired).execution_options(populate_existing=True)


def used(key_id: UUID) -> Update:
    """Record that a key was used, at most once a minute."""
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - literal(USE_NOTED_EVERY))
    return update(ApiKey).where(ApiKey.id == key_id, stale).values(last_used_at=func.now())


def lock(key_id: UUID) -> Select[UUID]:
    """Make others that lock this key wait until the transaction ends. Other access does not wait."""
    return select(ApiKey.id).where(ApiKey.id == key_id).with_for_update(key_share=True)


def queued(key_id: UUID) -> Select[int]:
    """How many jobs of a key are queued."""
    return select(func.count()).select_from(Job).where(Job.key_id == key_id, Job.state == "queued")
