"""The URLs of a job, as clients see them."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID


@dataclass(frozen=True)
class JobLinks:
    """Builds URLs below ``base``, which has no trailing slash."""

    base: str

    def jobs(self) -> str:
        return f"{self.base}/v1/jobs"

    def job(self, job: UUID) -> str:
        return f"{self.jobs()}/{job}"

    def picture(self, job: UUID, image: int, iterate: int | Literal["latest"]) -> str:
        return f"{self.job(job)}/images/{image}/iterates/{iterate}"
