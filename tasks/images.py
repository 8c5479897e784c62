"""The images of one job: compute them, and save every iterate as it comes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, cast

from celery.utils.log import get_task_logger
from sqlalchemy.orm import Session

from contract.fields import Generation
from contract.warnings import Warning
from contract.words import SampledBy, Stopped
from sampler import Checkpoint, Iterate, Original, Plan, Reference, Status
from store import saves, tracing, wakeups
from store.pictures import redis_cache
from store.saves import SavedCheckpoint
from store.tables import Image, Job
from tasks.engines import EngineThread, ImageBatch, ImageUpdate
from tasks.leases import Lease, Stop
from tasks.metrics import JobTimes
from tasks.pictures import to_png
from tasks.trajectories import Start, begin
from tasks.worker import Worker

# Why a finished image stopped, the most exact first.
STOPPED = (Status.EXACT, Status.CONVERGED, Status.ACCEPTED, Status.MAX_ITERATIONS)

log = get_task_logger(__name__)


@dataclass(frozen=True, slots=True)
class Results:
    """Why the images that have ended did so, by number: `stopped` for finished ones, `errors` for failed ones."""

    images: int
    stopped: dict[int, Stopped] = field(default_factory=dict[int, Stopped])
    errors: dict[int, str] = field(default_factory=dict[int, str])

    @property
    def complete(self) -> bool:
        """Whether all images have ended."""
        return len(self.stopped) + len(self.errors) == self.images

    @property
    def least_exact(self) -> Stopped:
        """Why the job stopped: the reason of its least exact image."""
        return cast(Stopped, max(map(Status, self.stopped.values()), key=STOPPED.index).value)

    @property
    def error(self) -> str:
        """The message for the client about the images that failed."""
        if len(set(self.errors.values())) == 1 and len(self.errors) == self.images:
            return next(iter(self.errors.values()))
        return "; ".join(f"image {image}: {error}" for image, error in sorted(self.errors.items()))


class Stored(NamedTuple):
    """The stored images of a job, and the checkpoints of those that have one, by number."""

    images: Sequence[Image]
    checkpoints: Mapping[int, SavedCheckpoint]


class Images:
    """The images of a job that this process runs."""

    def __init__(
        self,
        worker: Worker,
        lease: Lease,
        job: Job,
        stored: Stored,
        engine: EngineThread,
        times: JobTimes,
        original: Original | None = None,
        references: Sequence[Reference] = (),
    ) -> None:
        self._worker = worker
        self._lease = lease
        self._generation = Generation.model_validate(job.generation)
        # In the engine as in the queue the better (earlier) rank goes first, so that no job waits for ever.
        self._priority = -int(job.rank_at.timestamp() * 1000)
        self._engine = engine
        self._times = times
        self._images, self._checkpoints = stored
        self._original, self._references = original, references
        # A job that resumes after an earlier run may have shown its first picture already.
        self._pictured = self._generation.previews and any(image.iterate is not None for image in stored.images)

    def compute(self) -> Results:
        """Resume every image that has not ended, until all have or the job's thread must stop.

        Raises:
            LeaseLost, GaveUp: see `Worker.save`.
        """
        results = Results(len(self._images))
        for image in self._images:
            if image.stopped is not None:
                results.stopped[image.number] = image.stopped
            elif image.error is not None:
                results.errors[image.number] = image.error
        unfinished = [image for image in self._images if image.stopped is None and image.error is None]
        starts = {
            image.number: Start(
                image.method, image.blocks, image.predicted_rounds is not None, self._checkpoints.get(image.number)
            )
            for image in unfinished
        }
        if resumed := {image: start.checkpoint.iterate for image, start in starts.items() if start.checkpoint}:
            log.info("job %s goes on from iterates %s", self._lease.job_id, resumed)
        prepare = partial(
            begin,
            self._lease.job_id,
            self._generation,
            self._engine.lora_files,
            starts,
            self._tell,
            self._warn,
            original=self._original,
            references=self._references,
        )
        pictures = "all" if self._generation.previews else "last"
        batch = ImageBatch(tuple(starts), prepare, self._lease.deliver, self._priority, pictures, tracing.here())
        if starts:
            self._engine.add(batch)
            self._lease.when_accepted(partial(self._engine.accept, batch))
        try:
            updates = self._lease.updates()
            while not results.complete and (update := next(updates, None)) is not None:
                self._take(update, results)
            if self._lease.stop is Stop.SHUTDOWN and not results.complete:
                self._hand_back(batch, results)
        finally:
            if starts and not results.complete:
                self._lease.dropped = self._engine.cancel(batch)
            self._engine.release(batch)
        return results

    def _hand_back(self, batch: ImageBatch, results: Results) -> None:
        """Save the state of the images between two iterates, so that another worker resumes from it."""
        checkpoints = self._engine.hand_back(batch, self._worker.settings.soft_shutdown_seconds / 2)
        for update in self._lease.updates():  # those before the checkpoints
            self._take(update, results)
        job_id, attempt = self._lease.job_id, self._lease.attempt
        for image, (iterate, checkpoint) in checkpoints.items():
            saved = (self._worker.pictures, job_id, attempt, image, iterate, checkpoint.to_bytes())
            kept = self._worker.save(self._lease, lambda session, saved=saved: saves.save_checkpoint(session, *saved))
            self._lease.checkpoints.add(kept)

    def _tell(self, image: int, plan: Plan) -> None:
        """Called on the engine's thread with the plan of an image."""
        self._lease.deliver(ImageUpdate(image, (), None, Status.RUNNING, None, plan=plan))

    def _warn(self, warnings: Sequence[Warning]) -> None:
        """Called on the engine's thread with what of the request does less than it says."""
        first = self._images[0].number
        self._lease.deliver(ImageUpdate(first, (), None, Status.RUNNING, None, warnings=warnings))

    def _save_plan(self, image: int, plan: Plan) -> None:
        job_id, attempt = self._lease.job_id, self._lease.attempt
        self._save(
            lambda session: saves.start_image(
                session,
                *(job_id, attempt, image),
                method=cast(SampledBy, plan.method),
                blocks=plan.blocks,
                predicted_rounds=plan.rounds,
                predicted_evaluations=plan.evaluations,
            )
        )

    def _take(self, update: ImageUpdate, results: Results) -> None:
        """Save an update."""
        if update.warnings:
            job_id, attempt = self._lease.job_id, self._lease.attempt
            self._worker.save(self._lease, lambda session: saves.warn(session, job_id, attempt, update.warnings))
        if update.preparing is not None:
            (share,) = update.preparing
            job_id, attempt = self._lease.job_id, self._lease.attempt
            self._save(lambda session: saves.prepare(session, job_id, attempt, share))
        if update.plan is not None:
            self._save_plan(update.image, update.plan)
        finished = update.status in STOPPED
        for iterate in update.iterates:
            newest = iterate is update.iterates[-1]
            self._save_iterate(update, iterate, update.checkpoint if newest else None, final=newest and finished)
        if finished:
            if not update.iterates and update.newest is not None:
                # It ended without a new iterate: accepted, or refined to what it had reached before.
                self._make_final(update, update.newest)
            stopped = results.stopped[update.image] = cast(Stopped, update.status.value)
            self._finish(update.image, stopped=stopped)
            if (last := update.newest) is not None:
                self._times.finished(stopped, last.number, last.rounds, last.evaluations)
        elif update.status is Status.FAILED:
            error = results.errors[update.image] = update.error or "failed without a reason"
            # Without the reason, which may quote the prompt.
            log.warning("job %s: image %d failed; its error says why", self._lease.job_id, update.image)
            self._finish(update.image, error=error)
            self._times.failed()

    def _save_iterate(
        self, update: ImageUpdate, iterate: Iterate, checkpoint: Checkpoint | None, *, final: bool
    ) -> None:
        job_id, attempt, image = self._lease.job_id, self._lease.attempt, update.image
        picture = self._picture(update, iterate) if final or self._generation.previews else None
        data = checkpoint.to_bytes() if checkpoint else None
        about = {"image": image, "iterate": iterate.number, "error_estimate": iterate.error_estimate, "final": final}
        with self._times.saving(), tracing.span("save iterate", about):
            saved = self._worker.save(
                self._lease,
                lambda session: saves.save_iterate(
                    session,
                    self._worker.pictures,
                    *(job_id, attempt, image, iterate.number),
                    residual=iterate.residual,
                    error_estimate=iterate.error_estimate,
                    rounds=iterate.rounds,
                    evaluations=iterate.evaluations,
                    picture=picture,
                    checkpoint=data,
                    final=final,
                ),
            )
        if saved.checkpoint is not None:
            self._lease.checkpoints.add(saved.checkpoint)
        if picture is not None:
            if not self._pictured:
                self._pictured = True
                self._times.first_picture()
            seconds = self._worker.jobs.preview_cache_seconds
            redis_cache.put(self._worker.redis, job_id, image, iterate.number, picture, seconds)
        wakeups.publish(self._worker.redis, job_id, saved.seq)

    def _make_final(self, update: ImageUpdate, iterate: Iterate) -> None:
        job_id, attempt, image = self._lease.job_id, self._lease.attempt, update.image
        picture = None if self._generation.previews else self._picture(update, iterate)
        key = (job_id, attempt, image, iterate.number)
        self._save(lambda session: saves.make_final(session, self._worker.pictures, *key, picture=picture))

    def _picture(self, update: ImageUpdate, iterate: Iterate) -> bytes:
        return to_png(self._engine.picture(update, iterate))

    def _finish(self, image: int, stopped: Stopped | None = None, error: str | None = None) -> None:
        job_id, attempt = self._lease.job_id, self._lease.attempt
        self._save(lambda s: saves.finish_image(s, job_id, attempt, image, stopped=stopped, error=error))

    def _save(self, work: Callable[[Session], int]) -> None:
        """Do work that returns the number of its event, and announce the event."""
        wakeups.publish(self._worker.redis, self._lease.job_id, self._worker.save(self._lease, work))
