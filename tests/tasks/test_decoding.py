"""Threads that want pictures at the same time share calls, and each gets its own."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch
from torch import Tensor

from tasks.decoding import TOGETHER, Decoder


class Slow:
    """Decodes a sample to its first number, in calls that wait until they are let."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.began, self.go = Event(), Event()

    def __call__(self, samples: Tensor) -> Tensor:
        self.calls.append(len(samples))
        self.began.set()
        assert self.go.wait(30)
        if bool((samples < 0).any()):
            raise ValueError("a negative sample")
        return samples[:, :1, :1, :1].expand(-1, 2, 2, 3)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def together(
    slow: Slow, pool: ThreadPoolExecutor, first: Tensor, others: list[Tensor]
) -> Callable[[], list[float | str]]:
    """Ask for `first`, and while it is being decoded for the others; what each got, or its error."""
    decoder = Decoder(slow)

    def ask(sample: Tensor) -> float | str:
        try:
            return float(decoder.picture(sample)[0, 0, 0])
        except ValueError as error:
            return str(error)

    asked = [pool.submit(ask, first)]
    assert slow.began.wait(30)
    for n, sample in enumerate(others):
        asked.append(pool.submit(ask, sample))
        while len(decoder._waiting) <= n:  # so that they stand in this order
            pass
    slow.go.set()
    return lambda: [each.result(30) for each in asked]


def sample(value: float, side: int = 8) -> Tensor:
    return torch.full((4, side, side), value)


def test_what_is_asked_for_during_a_call_goes_together(pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    got = together(slow, pool, sample(0), [sample(n) for n in range(1, 10)])
    assert got() == [float(n) for n in range(10)]
    assert slow.calls == [1, 9]


def test_another_size_goes_apart(pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    got = together(slow, pool, sample(0), [sample(1), sample(2), sample(3, side=16), sample(4)])
    assert got() == [0, 1, 2, 3, 4]
    assert slow.calls == [1, 2, 1, 1]


def test_large_pictures_go_one_by_one(pool: ThreadPoolExecutor) -> None:
    slow, side = Slow(), round(TOGETHER**0.5)
    got = together(slow, pool, sample(0, side), [sample(1, side), sample(2, side)])
    assert got() == [0, 1, 2]
    assert slow.calls == [1, 1, 1]


def test_one_that_fails_fails_alone(pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    got = together(slow, pool, sample(0), [sample(1), sample(-1), sample(2)])
    assert got() == [0, 1, "a negative sample", 2]
    assert slow.calls == [1, 3, 1, 1, 1]
