"""The addresses of resources, as clients see them."""

from dataclasses import dataclass
from uuid import UUID

from store.links import JobLinks


@dataclass(frozen=True)
class Links(JobLinks):
    """All addresses that responses contain."""

    def cancel(self, job: UUID) -> str:
        return f"{self.job(job)}/cancel"

    def accept(self, job: UUID) -> str:
        return f"{self.job(job)}/accept"

    def refine(self, job: UUID) -> str:
        return f"{self.job(job)}/refine"

    def events(self, job: UUID) -> str:
        return f"{self.job(job)}/events"

    def iterates(self, job: UUID) -> str:
        return f"{self.job(job)}/iterates"

    def upload(self, digest: str) -> str:
        return f"{self.base}/v1/uploads/{digest}"

    def deliveries(self, job: UUID) -> str:
        return f"{self.job(job)}/deliveries"

    def send(self, job: UUID, delivery: UUID) -> str:
        return f"{self.deliveries(job)}/{delivery}/send"

    def page(self, job: UUID, token: str) -> str:
        """The page that shows a shared job. Browsers do not send what follows the #, so that no log has the token."""
        return f"{self.base}/#job={job}&share={token}"
