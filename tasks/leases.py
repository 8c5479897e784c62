"""The jobs that this process holds, and how their threads are told to stop."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from enum import StrEnum
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic
from uuid import UUID

from tasks.engines import Answer


class Stop(StrEnum):
    """Why a run ends before its images are finished."""

    CANCELED = "canceled"  # the client asked for it
    OVERDUE = "overdue"  # its deadline has passed: it fails, with the pictures that it has
    SHUTDOWN = "shutdown"  # this process ends: hand the job back
    LOST = "lost"  # the job is no longer ours: write nothing


class Lease:
    """A job that this process holds under one attempt, and the mailbox of the thread that runs it."""

    def __init__(self, job_id: UUID, attempt: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.stop: Stop | None = None
        self._accepted = False
        self._accept: Callable[[], None] | None = None
        self._mail: SimpleQueue[Answer | None] = SimpleQueue()

    def deliver(self, answer: Answer) -> None:
        """Hand over what an engine computed."""
        self._mail.put(answer)

    def end(self, why: Stop) -> None:
        """Tell the job's thread to stop. The first reason counts; only a lost lease overrides it."""
        if self.stop is None or why is Stop.LOST:
            self.stop = why
            self._mail.put(None)

    def accept(self) -> None:
        """The client takes the newest iterates. May be told again and again."""
        self._accepted = True
        if self._accept is not None:
            self._accept()

    def when_accepted(self, accept: Callable[[], None]) -> None:
        """What to do then, from whichever thread says so; at once, where it was said before. May be done twice."""
        self._accept = accept
        if self._accepted:
            accept()

    def answers(self) -> Iterator[Answer]:
        """What the engine computes, as it comes, until the thread is to stop.

        A job that is handed back or overdue still gets what has been computed already: nothing is lost, and nothing
        computed twice.
        """
        while self.stop not in (Stop.CANCELED, Stop.LOST):
            try:
                answer = self._mail.get(block=self.stop is None)
            except Empty:
                return
            if answer is not None:
                yield answer


class Leases:
    """All jobs that this process holds. Threads may use it at once, and a signal handler of the main thread may."""

    def __init__(self) -> None:
        self._held: dict[UUID, Lease] = {}
        self._lock = Lock()
        self._deadline: float | None = None

    @property
    def closing(self) -> bool:
        """Whether this process takes no more jobs."""
        return self._deadline is not None

    @property
    def overdue(self) -> bool:
        """Whether this process has ended but for those that cannot hand back their jobs."""
        return self._deadline is not None and monotonic() > self._deadline

    @contextmanager
    def hold(self, job_id: UUID, attempt: int) -> Generator[Lease]:
        """Have a claimed job's lease renewed while the context lasts."""
        lease = Lease(job_id, attempt)
        with self._lock:
            self._held[job_id] = lease
            if self.closing:
                lease.end(Stop.SHUTDOWN)
        try:
            yield lease
        finally:
            with self._lock:
                if self._held.get(job_id) is lease:
                    del self._held[job_id]

    def all(self) -> list[Lease]:
        """The leases of this moment."""
        with self._lock:
            return list(self._held.values())

    def holds(self, job_id: UUID) -> bool:
        """Whether this process runs a job."""
        with self._lock:
            return job_id in self._held

    def close(self, seconds: float) -> None:
        """Take no more jobs and hand back those held, within so many seconds."""
        with self._lock:
            self._deadline = monotonic() + seconds
            for lease in self._held.values():
                lease.end(Stop.SHUTDOWN)
