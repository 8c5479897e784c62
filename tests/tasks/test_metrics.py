"""What a worker reports to Prometheus of its rounds, images and jobs, each figure in its place."""

from typing import Any

import pytest

from store.metrics import Ends, new_registry
from tasks.metrics import Doing, JobTimes, Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def sample(metrics: Metrics, name: str, **labels: str) -> Any:
    return metrics.registry.get_sample_value(f"underpaint_{name}", labels)


@pytest.mark.parametrize(
    ("evaluations", "bucket"), [(1, "1"), (2, "2"), (3, "4"), (4, "4"), (5, "8"), (16, "16"), (17, "32")]
)
def test_a_round_is_counted_with_what_it_held(metrics: Metrics, evaluations: int, bucket: str) -> None:
    metrics.round("emoji", evaluations, slots=32, seconds=0.3)
    metrics.round("emoji", evaluations, slots=32, seconds=0.2)
    assert sample(metrics, "rounds_total", model="emoji") == 2
    assert sample(metrics, "evaluations_total", model="emoji") == 2 * evaluations
    assert sample(metrics, "slots_total", model="emoji") == 64
    assert sample(metrics, "round_evaluations_sum", model="emoji") == 2 * evaluations
    assert sample(metrics, "round_seconds_count", model="emoji", evaluations=bucket) == 2
    assert sample(metrics, "round_seconds_sum", model="emoji", evaluations=bucket) == pytest.approx(0.5)
    assert sample(metrics, "rounds_total", model="other") is None


def test_buckets_of_evaluations_are_powers_of_two(metrics: Metrics) -> None:
    metrics.round("emoji", 3, slots=8, seconds=0.3)
    counts = {n: sample(metrics, "round_evaluations_bucket", model="emoji", le=f"{n}.0") for n in (1, 2, 4, 256, 512)}
    assert counts == {1: 0, 2: 0, 4: 1, 256: 1, 512: 1}


@pytest.mark.parametrize(
    ("name", "labels", "bounds"),
    [
        ("image_rounds", {"method": "srds"}, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]),
        ("image_evaluations", {"method": "srds"}, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]),
        ("image_iterates", {"method": "srds", "stopped": "converged"}, [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50]),
        ("image_seconds", {}, [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]),
    ],
)
def test_the_bounds_of_buckets_are_those_that_dashboards_show(
    metrics: Metrics, name: str, labels: dict[str, str], bounds: list[float]
) -> None:
    JobTimes(metrics, "emoji", "srds", age=1.0).finished("converged", 3, 14, 40)
    found = [
        each.labels["le"]
        for family in metrics.registry.collect()
        for each in family.samples
        if each.name == f"underpaint_{name}_bucket"
    ]
    assert found == [*(str(float(bound)) for bound in bounds), "+Inf"]
    assert sample(metrics, f"{name}_count", model="emoji", **labels) == 1


def test_a_finished_image_is_measured_from_the_submission_of_its_job(metrics: Metrics) -> None:
    times = JobTimes(metrics, "emoji", "srds", age=100.0)
    times.first_picture()
    times.finished("converged", 3, 14, 40)
    labels = {"model": "emoji", "method": "srds"}
    assert sample(metrics, "image_iterates_sum", stopped="converged", **labels) == 3
    assert sample(metrics, "image_rounds_sum", **labels) == 14
    assert sample(metrics, "image_evaluations_sum", **labels) == 40
    first = sample(metrics, "first_preview_seconds_sum", model="emoji")
    assert 100 <= first <= sample(metrics, "image_seconds_sum", model="emoji")


def test_times_of_a_refined_job_are_not_counted_but_its_images_are(metrics: Metrics) -> None:
    times = JobTimes(metrics, "emoji", "srds", age=None)
    times.first_picture()
    times.finished("exact", 7, 50, 50)
    assert sample(metrics, "first_preview_seconds_count", model="emoji") is None
    assert sample(metrics, "image_seconds_count", model="emoji") is None
    assert sample(metrics, "image_rounds_count", model="emoji", method="srds") == 1


def test_images_that_fail_and_saves_are_counted(metrics: Metrics) -> None:
    times = JobTimes(metrics, "emoji", "srds", age=1.0)
    times.failed()
    with times.saving():
        assert sample(metrics, "save_seconds_count", model="emoji") == 0
    assert sample(metrics, "save_seconds_count", model="emoji") == 1
    assert sample(metrics, "images_failed_total", model="emoji") == 1


def test_jobs_and_images_are_asked_for_at_every_scrape(metrics: Metrics) -> None:
    held = [1, 2]
    metrics.show_jobs(lambda: len(held), concurrency=4)
    metrics.show_images("emoji", lambda: 10 * len(held))
    assert sample(metrics, "worker_concurrency") == 4
    assert (sample(metrics, "worker_jobs"), sample(metrics, "engine_images", model="emoji")) == (2, 20)
    held.pop()
    assert (sample(metrics, "worker_jobs"), sample(metrics, "engine_images", model="emoji")) == (1, 10)


def test_an_engines_time_is_that_of_what_it_does_up_to_the_scrape(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("tasks.metrics.perf_counter", lambda: clock[0])

    def spent(model: str) -> list[Any]:
        kinds = ("waiting", "preparing", "rounds", "decoding")
        return [sample(metrics, "engine_seconds_total", model=model, doing=doing) for doing in kinds]

    assert spent("emoji") == [None] * 4
    turns: list[tuple[Doing, float]] = [
        ("waiting", 2),
        ("preparing", 3),
        ("rounds", 5),
        ("decoding", 7),
        ("rounds", 11),
    ]
    for doing, seconds in turns:
        metrics.engine_time.turn("emoji", doing)
        clock[0] += seconds
    metrics.engine_time.turn("other", "waiting")
    assert spent("emoji") == [2, 3, 16, 7]
    clock[0] += 1
    assert spent("emoji") == [2, 3, 17, 7]
    assert spent("other") == [1, 0, 0, 0]


def test_a_job_that_ends_is_counted_by_why_and_one_that_goes_on_is_not() -> None:
    registry = new_registry("worker")
    ends = Ends(registry)
    ends.count("succeeded", "converged", None, "emoji")
    ends.count("canceled", None, None, "emoji")
    ends.count("failed", None, "deadline", "emoji")
    ends.count("failed", None, None, "emoji")
    ends.count("queued", None, None, "emoji")
    ends.count("running", None, None, "emoji")
    found = {
        (each.name.removeprefix("underpaint_"), *sorted(each.labels.values())): each.value
        for family in registry.collect()
        if family.name in ("underpaint_jobs_ended", "underpaint_jobs_failed")
        for each in family.samples
    }
    assert found == {
        ("jobs_ended_total", "converged", "emoji"): 1,
        ("jobs_ended_total", "canceled", "emoji"): 1,
        ("jobs_ended_total", "emoji", "failed"): 2,
        ("jobs_failed_total", "deadline"): 1,
        ("jobs_failed_total", "other"): 1,
    }
