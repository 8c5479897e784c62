"""One job for all attempts of a client that sends its request again by itself.

OpenAI's clients do so after a timeout, a lost connection and a 5xx. They send no ``Idempotency-Key``, but say in
``X-Stainless-Retry-Count`` how often they have tried. So the job of a request is remembered by what the request asks
for, until its pictures are sent; a later attempt joins it. Two first attempts are two jobs, however alike they are.
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

LONGEST_APART = 3600.0  # s, between the first attempt of a request and one that joins it

log = logging.getLogger(__name__)


class Attempt:
    """One attempt of a request.

    Args:
        caller: whose it is.
        body: the request as it came.
        key: its ``Idempotency-Key``, which goes before everything else.
        retries: how often the client has tried before.
    """

    def __init__(self, caller: Caller, body: Mapping[str, Any], key: str | None, retries: int) -> None:
        asked = fingerprint("generate_images", body)
        owner = caller.key_id or NOBODY
        # With blanks in it no Idempotency-Key is like it.
        self._once = Once(key, asked, owner) if key else Once(f"attempts of {asked}", asked, owner, newest=True)
        self._caller = caller
        self._retries = retries

    async def submit(self, services: Services, links: Links, wanted: Wanted) -> Submission:
        """The job of an earlier attempt, or else a new one.

        Raises:
            IdempotencyKeyReused: the key belongs to another request.
        """
        if self._once.newest and self._retries:
            job = await made_before(services, self._once, LONGEST_APART)
            # One that has failed is joined, too: it would do so again. One that was canceled need not.
            if job and not job.cancel_requested and job.state != "canceled":
                return Submission(job.id, None)
        return await submit(services, self._caller, links, wanted.generation, wanted.handling, self._once)

    @property
    def alone(self) -> bool:
        """Whether the job is for this client alone, who will not come back for it: this is the first attempt, and it
        has no ``Idempotency-Key``."""
        return self._once.newest and not self._retries

    async def answered(self, services: Services, job: UUID) -> None:
        """The client gets its pictures: a request that is like this one asks for others."""
        if not self._once.newest:
            return
        try:
            async with services.moving.begin() as session:
                await session.execute(idempotency.forget(self._once, job))
        except SQLAlchemyError as error:
            log.warning("the request of job %s is still remembered: %s", job, error)
