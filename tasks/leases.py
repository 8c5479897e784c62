"""The leases of the jobs that this process runs, and the signals that stop their threads."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from enum import StrEnum
from queue import Empty, SimpleQueue
from threading import Event, Lock
from time import monotonic
from uuid import UUID

from store.pictures import PictureId
from tasks.engines import ImageUpdate

DROP_SECONDS = 1.0  # how often a thread that waits for a round checks whether the process ends


class Stop(StrEnum):
    """Why a run ends before its images are finished."""

    CANCELED = "canceled"  # the client asked for it
    OVERDUE = "overdue"  # its deadline has passed: it fails, with the pictures that it has
    SHUTDOWN = "shutdown"  # this process ends: release the job
    LOST = "lost"  # the job is no longer ours: write nothing


class Lease:
    """A job that this process holds under one attempt, and the queue of updates for the thread that runs it."""

    def __init__(self, job_id: UUID, attempt: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.stop: Stop | None = None
        self._accepted = False
        self._accept: Callable[[], None] | None = None
        self._mail: SimpleQueue[ImageUpdate | None] = SimpleQueue()
        self.checkpoints: set[PictureId] = set()
        """Those that this run has loaded or saved. When it has ended, most are of no use."""
        self.dropped: Event | None = None
        """Set when no engine computes for the job any more; None: none does."""

    def deliver(self, update: ImageUpdate) -> None:
        """Hand over what an engine computed."""
        self._mail.put(update)

    def end(self, why: Stop) -> None:
        """Make the job's thread stop. The first reason counts; only a lost lease overrides it."""
        if self.stop is None or why is Stop.LOST:
            self.stop = why
            self._mail.put(None)

    def accept(self) -> None:
        """The client accepts the newest iterates. May be called repeatedly."""
        self._accepted = True
        if self._accept is not None:
            self._accept()

    def when_accepted(self, accept: Callable[[], None]) -> None:
        """Set the callback of `accept`. It runs in the thread that calls `accept`, or now if the job was accepted
        already, and may run twice."""
        self._accept = accept
        if self._accepted:
            accept()

    def updates(self) -> Iterator[ImageUpdate]:
        """The updates of the engine as they come, until the thread must stop.

        A job that is handed back or overdue still gets the updates that were computed before: nothing is lost or
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
    """All jobs that this process holds. Safe for threads, and for a signal handler of the main thread."""

    def __init__(self) -> None:
        self._held: list[Lease] = []
        self._lock = Lock()
        self._claims = Lock()
        self._deadline: float | None = None

    @property
    def closing(self) -> bool:
        """Whether this process claims no more jobs."""
        return self._deadline is not None

    @property
    def overdue(self) -> bool:
        """Whether the time to hand jobs back has passed."""
        return self._deadline is not None and monotonic() > self._deadline

    @contextmanager
    def claiming(self) -> Generator[list[UUID]]:
        """The jobs that this process holds. Only one thread at a time can be in this context, so that only the caller
        adds jobs meanwhile."""
        with self._claims:
            yield [lease.job_id for lease in self.all()]

    def take(self, job_id: UUID, attempt: int) -> Lease:
        """The lease of a job that was just claimed; the heartbeat renews it from now on."""
        lease = Lease(job_id, attempt)
        with self._lock:
            for older in self._held:
                if older.job_id == job_id:  # lost, but not noticed yet
                    older.end(Stop.LOST)
            self._held.append(lease)
            if self.closing:
                lease.end(Stop.SHUTDOWN)
        return lease

    @contextmanager
    def holding(self, lease: Lease) -> Generator[None]:
        """Hold a lease during the context, and until no engine computes for the job: if the last round kills the
        process, the job must count as the cause."""
        try:
            yield
        finally:
            while lease.dropped is not None and not self.closing and not lease.dropped.wait(DROP_SECONDS):
                pass
            with self._lock:
                self._held.remove(lease)

    def all(self) -> list[Lease]:
        """The current leases, in order of their claims."""
        with self._lock:
            return list(self._held)

    def holds(self, job_id: UUID) -> bool:
        """Whether this process holds a job."""
        return any(lease.job_id == job_id for lease in self.all())

    def close(self, seconds: float) -> None:
        """Claim no more jobs, and hand back the held ones within this many seconds."""
        with self._lock:
            self._deadline = monotonic() + seconds
            for lease in self._held:
                lease.end(Stop.SHUTDOWN)
