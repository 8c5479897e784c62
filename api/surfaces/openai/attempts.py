"""One job for all attempts of a client that retries.

OpenAI's clients retry after a timeout, a lost connection and a 5xx. They send no ``Idempotency-Key``, but
``X-Stainless-Retry-Count`` has the number of retries so far. So a job is remembered by the fingerprint of its request
until its pictures are sent, and a retry joins it. Two first attempts are two jobs, even if they are equal.
"""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from api.auth.caller import Caller
from api.jobs.submit import Submission, made_before, submit
from api.links import Links
from api.services import Services
from api.surfaces.openai.request import Wanted
from store import idempotency
from store.idempotency import NOBODY, Once, fingerprint

MAX_APART = 3600.0  # s between the first attempt of a request and a retry that joins it

log = logging.getLogger(__name__)


class Attempt:
    """One attempt of a request.

    Args:
        caller: the client.
        body: the request as it was sent.
        key: its ``Idempotency-Key``, which has precedence.
        retries: earlier attempts of the client; None if it does not count them.
    """

    def __init__(self, caller: Caller, body: Mapping[str, Any], key: str | None, retries: int | None) -> None:
        asked = fingerprint("generate_images", body)
        owner = caller.key_id or NOBODY
        # No Idempotency-Key of a client can be equal: they have no blanks.
        self._once = Once(key, asked, owner) if key else Once(f"attempts of {asked}", asked, owner, newest=True)
        self._caller = caller
        self._retries = retries

    async def submit(self, services: Services, links: Links, wanted: Wanted) -> Submission:
        """The job of an earlier attempt, or a new one.

        Raises:
            IdempotencyKeyReused: the key belongs to another request.
        """
        if self._once.newest and self._retries:
            job = await made_before(services, self._once, MAX_APART)
            # A failed job is joined, too: another one would fail as well. A canceled one is not.
            if job and not job.cancel_requested and job.state != "canceled":
                return Submission(job.id, None)
        return await submit(
            services,
            self._caller,
            links,
            wanted.generation,
            wanted.handling,
            self._once,
            wanted.warnings,
            wanted.pictures,
        )

    @property
    def final(self) -> bool:
        """Whether the client will not try again: it counts no retries, and sent no ``Idempotency-Key``."""
        return self._once.newest and self._retries is None

    @property
    def alone(self) -> bool:
        """Whether nobody else can have joined the job: this is the first attempt, and has no ``Idempotency-Key``."""
        return self._once.newest and not self._retries

    async def answered(self, services: Services, job: UUID) -> None:
        """The client gets its pictures: an equal request is from now on a new one."""
        if not self._once.newest:
            return
        try:
            async with services.moving.begin() as session:
                await session.execute(idempotency.forget(self._once, job))
        except SQLAlchemyError as error:
            log.warning("the request of job %s is still remembered: %s", job, error)
