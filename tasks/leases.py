"""The jobs that this process holds, and how their threads are told to stop."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from enum import StrEnum
from queue import Empty, SimpleQueue
from threading import Event, Lock
from time import monotonic
from uuid import UUID

from tasks.engines import ImageUpdate

DROP_SECONDS = 1.0  # how often a thread that waits for a round looks whether the process ends


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
        self._mail: SimpleQueue[ImageUpdate | None] = SimpleQueue()
        self.dropped: Event | None = None
        """Set once no engine computes anything for the job any more; None: none does."""

    def deliver(self, update: ImageUpdate) -> None:
        """Hand over what an engine computed."""
        self._mail.put(update)

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

    def updates(self) -> Iterator[ImageUpdate]:
        """What the engine computes, as it comes, until the thread is to stop.

        A job that is handed back or overdue still gets what has been computed already: nothing is lost, and nothing
        computed twice.
        """
        while self.stop not in (Stop.CANCELED, Stop.LOST):
            try:
                update = self._mail.get(block=self.stop is None)
            except Empty:
                return
            if update is not None:
                yield update


class Leases:
    """All jobs that this process holds. Threads may use it at once, and a signal handler of the main thread may."""

    def __init__(self) -> None:
        self._held: list[Lease] = []
        self._lock = Lock()
        self._claims = Lock()
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
    def claiming(self) -> Generator[list[UUID]]:
        """The jobs that this process holds; while the context lasts, no other thread is in one, so that none is added
        but what the caller takes."""
        with self._claims:
            yield [lease.job_id for lease in self.all()]

    def take(self, job_id: UUID, attempt: int) -> Lease:
        """The lease of a job that was claimed just now; it is renewed from now on."""
        lease = Lease(job_id, attempt)
        with self._lock:
            for older in self._held:
                if older.job_id == job_id:  # lost, and not noticed yet
                    older.end(Stop.LOST)
            self._held.append(lease)
            if self.closing:
                lease.end(Stop.SHUTDOWN)
        return lease

    @contextmanager
    def holding(self, lease: Lease) -> Generator[None]:
        """Hold a lease while the context lasts, and until no engine computes for it: what a round that still runs may
        do to this process is the doing of that job."""
        try:
            yield
        finally:
            while lease.dropped is not None and not self.closing and not lease.dropped.wait(DROP_SECONDS):
                pass
            with self._lock:
                self._held.remove(lease)

    def all(self) -> list[Lease]:
        """The leases of this moment, in the order of their claims."""
        with self._lock:
            return list(self._held)

    def holds(self, job_id: UUID) -> bool:
        """Whether this process runs a job."""
        return any(lease.job_id == job_id for lease in self.all())

    def close(self, seconds: float) -> None:
        """Take no more jobs and hand back those held, within so many seconds."""
        with self._lock:
            self._deadline = monotonic() + seconds
            for lease in self._held:
                lease.end(Stop.SHUTDOWN)
