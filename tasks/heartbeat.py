"""The heartbeat: one statement renews the leases of all jobs of this process, and reads which of them must stop.

It only needs PostgreSQL, so that no outage of Redis costs a lease.
"""

from threading import Event, Thread

from celery.utils.log import get_logger
from sqlalchemy.orm import Session, sessionmaker

from store import moves
from store.settings import JobSettings
from tasks.leases import Leases, Stop
from tasks.outages import GaveUp, Outage, transact

log = get_logger(__name__)


class Heartbeat(Thread):
    """Beats every `heartbeat_seconds`, and when it is woken. While PostgreSQL is away it keeps trying: a lease that has
    expired meanwhile is still renewed, unless the janitor has rescued the job."""

    def __init__(self, name: str, leases: Leases, sessions: sessionmaker[Session], settings: JobSettings) -> None:
        """`name`: of the worker, as in its claims."""
        super().__init__(name="heartbeat", daemon=True)
        self._worker = name
        self._leases = leases
        self._sessions = sessions
        self._settings = settings
        self._wake = Event()
        self._ended = False

    def wake(self) -> None:
        """Beat now: a job's flags may have changed."""
        self._wake.set()

    def end(self) -> None:
        """End the thread."""
        self._ended = True
        self._wake.set()

    def run(self) -> None:
        """The thread."""
        outage = Outage(log, "no heartbeat while PostgreSQL is away: %s", "heartbeat: PostgreSQL is back")
        while not self._ended:
            try:
                self.beat()
            except GaveUp as error:
                outage.failed(error)
            except Exception:
                # Without a heartbeat this process would lose all its jobs.
                log.exception("heartbeat failed")
            else:
                outage.succeeded()
            self._wake.wait(self._settings.heartbeat_seconds)
            self._wake.clear()

    def beat(self) -> None:
        """Renew all leases; notify the threads of jobs that are lost, canceled, accepted or overdue."""
        held = self._leases.all()
        if not held:
            return
        attempts = {lease.job_id: lease.attempt for lease in held}
        renew = moves.renew(self._worker, attempts, self._settings.lease_seconds)
        renewed = transact(self._sessions, lambda session: session.execute(renew).all(), what="leases")
        asked = {job_id: flags for job_id, *flags in renewed}
        for lease in held:
            # A job that has ended since `held` was read is not renewed either; its thread reads no updates any more.
            if lease.job_id not in asked:
                lease.end(Stop.LOST)
                continue
            cancel, accept, overdue = asked[lease.job_id]
            if cancel:
                lease.end(Stop.CANCELED)
            elif accept:
                lease.accept()
            elif overdue:
                lease.end(Stop.OVERDUE)
