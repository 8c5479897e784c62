"""The metrics of a worker: the rounds of its engines, and the outcomes of its jobs."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from threading import Lock
from time import perf_counter
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from store.metrics import SECONDS, Ends, new_registry

Doing = Literal["waiting", "preparing", "rounds", "decoding"]
DOING: tuple[Doing, ...] = ("waiting", "preparing", "rounds", "decoding")

# Powers of two, as the widths of models are.
EVALUATIONS = tuple(2**n for n in range(10))
ROUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
ITERATES = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50)


class EngineTime(Collector):
    """What each engine spends its time on. The current activity is counted up to the moment of the scrape."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, Doing], float] = {}
        self._now: dict[str, tuple[Doing, float]] = {}
        self._lock = Lock()

    def turn(self, model: str, doing: Doing) -> None:
        """Record that the engine of a model starts another activity."""
        now = perf_counter()
        with self._lock:
            before, since = self._now.get(model, (doing, now))
            self._spent[model, before] = self._spent.get((model, before), 0.0) + now - since
            self._now[model] = doing, now

    def collect(self) -> Iterable[Metric]:
        """The seconds until now."""
        family = CounterMetricFamily(
            "underpaint_engine_seconds",
            "Time that an engine spent waiting (for jobs: idle), preparing (loading its model, encoding prompts), in "
            "rounds, or decoding.",
            labels=["model", "doing"],
        )
        with self._lock:
            for model, (doing, since) in self._now.items():
                for each in DOING:
                    current = perf_counter() - since if each == doing else 0.0
                    family.add_metric([model, each], self._spent.get((model, each), 0.0) + current)
        yield family


class Metrics:
    """The metrics of one worker process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = new_registry("worker")
        self.engine_time = EngineTime()
        registry.register(self.engine_time)
        self.ends = Ends(registry)
        self._rounds = Counter("underpaint_rounds", "Rounds of an engine.", ["model"], registry=registry)
        self._evaluations = Counter("underpaint_evaluations", "Evaluations in rounds.", ["model"], registry=registry)
        self._slots = Counter(
            "underpaint_slots", "Evaluations that the rounds could have held.", ["model"], registry=registry
        )
        self._round_evaluations = Histogram(
            "underpaint_round_evaluations",
            "Evaluations in a round: how much of the width was used.",
            ["model"],
            buckets=EVALUATIONS,
            registry=registry,
        )
        self._round_seconds = Histogram(
            "underpaint_round_seconds",
            "Time of a round, most of it inside the network; `evaluations` is how many it held, rounded up to a power "
            "of two.",
            ["model", "evaluations"],
            buckets=SECONDS,
            registry=registry,
        )
        self._engine_images = Gauge(
            "underpaint_engine_images", "Images that an engine is computing.", ["model"], registry=registry
        )
        self.queue_wait = Histogram(
            "underpaint_queue_wait_seconds",
            "Time from a job's submission to its first claim.",
            ["model", "priority"],
            buckets=SECONDS,
            registry=registry,
        )
        self._first_picture = Histogram(
            "underpaint_first_preview_seconds",
            "Time from a job's submission until its first picture was saved. Refined jobs are not counted.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self._image_seconds = Histogram(
            "underpaint_image_seconds",
            "Time from a job's submission until an image of it was finished. Refined jobs are not counted.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        shape = ["model", "method"]
        self._image_rounds = Histogram(
            "underpaint_image_rounds", "Rounds of a finished image.", shape, buckets=ROUNDS, registry=registry
        )
        self._image_evaluations = Histogram(
            "underpaint_image_evaluations", "Evaluations of a finished image.", shape, buckets=ROUNDS, registry=registry
        )
        self._image_iterates = Histogram(
            "underpaint_image_iterates",
            "The last iterate of a finished image, by why it stopped: `converged` tells how many it takes.",
            [*shape, "stopped"],
            buckets=ITERATES,
            registry=registry,
        )
        self.images_failed = Counter(
            "underpaint_images_failed", "Images that could not be computed.", ["model"], registry=registry
        )
        self.decoding = Histogram(
            "underpaint_decode_seconds",
            "Time to decode an iterate.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self.saving = Histogram(
            "underpaint_save_seconds",
            "Time to save an iterate with its picture and checkpoint, outages of PostgreSQL included.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self.claimed = Counter("underpaint_jobs_claimed", "Jobs that this worker claimed.", registry=registry)
        self.handed_back = Counter(
            "underpaint_jobs_handed_back", "Jobs that this worker gave back, because it shut down.", registry=registry
        )
        self.leases_lost = Counter(
            "underpaint_leases_lost",
            "Jobs that this worker ran and that were no longer its own: deleted, or rescued as its lease had run out.",
            registry=registry,
        )
        self._jobs = Gauge("underpaint_worker_jobs", "Jobs that this worker holds.", registry=registry)
        self._concurrency = Gauge(
            "underpaint_worker_concurrency", "Jobs that this worker may hold at once.", registry=registry
        )

    def show_jobs(self, count: Callable[[], int], concurrency: int) -> None:
        """Call ``count`` at every scrape for the number of jobs that the worker holds."""
        self._jobs.set_function(count)
        self._concurrency.set(concurrency)

    def show_images(self, model: str, count: Callable[[], int]) -> None:
        """Call ``count`` at every scrape for the number of images that the engine of a model computes."""
        self._engine_images.labels(model).set_function(count)

    def round(self, model: str, evaluations: int, slots: int, seconds: float) -> None:
        """A round has ended."""
        self._rounds.labels(model).inc()
        self._evaluations.labels(model).inc(evaluations)
        self._slots.labels(model).inc(slots)
        self._round_evaluations.labels(model).observe(evaluations)
        self._round_seconds.labels(model, str(1 << (evaluations - 1).bit_length())).observe(seconds)


class JobTimes:
    """Measures the images of one job in one run.

    Args:
        age: seconds since its submission; None for a refinement, for which that means nothing.
    """

    def __init__(self, metrics: Metrics, model: str, method: str, age: float | None) -> None:
        self._metrics = metrics
        self._model = model
        self._method = method
        self._submitted = None if age is None else perf_counter() - age

    def first_picture(self) -> None:
        """The job's first picture was saved."""
        self._since_submission(self._metrics._first_picture)

    def finished(self, stopped: str, iterate: int, rounds: int, evaluations: int) -> None:
        """An image was finished, with these figures."""
        metrics, labels = self._metrics, (self._model, self._method)
        metrics._image_iterates.labels(*labels, stopped).observe(iterate)
        metrics._image_rounds.labels(*labels).observe(rounds)
        metrics._image_evaluations.labels(*labels).observe(evaluations)
        self._since_submission(metrics._image_seconds)

    def failed(self) -> None:
        """An image could not be computed."""
        self._metrics.images_failed.labels(self._model).inc()

    @contextmanager
    def saving(self) -> Generator[None]:
        """An iterate is saved while the context lasts."""
        with self._metrics.saving.labels(self._model).time():
            yield

    def _since_submission(self, histogram: Histogram) -> None:
        if self._submitted is not None:
            histogram.labels(self._model).observe(perf_counter() - self._submitted)
