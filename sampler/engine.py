"""The engine: continuous batching. Each round it packs what many trajectories have ready into one network call."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import chain, count, islice
from math import isfinite
from time import perf_counter

import torch
from torch import Tensor

from sampler.cost import RoundCost
from sampler.denoiser import Condition, Denoiser
from sampler.parareal import Parareal
from sampler.plan import Convergence
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory


@dataclass(frozen=True, slots=True)
class Progress:
    """What one round changed for one trajectory.

    Attributes:
        trajectory: which.
        iterates: those that the round completed, in order; may be empty when only the status changed.
        checkpoint: a snapshot taken together with the newest of `iterates`, or None where there are none.
        status: the trajectory's status after the round.
    """

    trajectory: Trajectory
    iterates: tuple[Iterate, ...]
    checkpoint: Checkpoint | None
    status: Status


@dataclass(slots=True)
class Statistics:
    """What the engine has done so far: rounds, evaluations, and how many evaluations its rounds could have held."""

    rounds: int = 0
    evaluations: int = 0
    slots: int = 0


@dataclass(slots=True)
class _Seat:
    """A trajectory in the engine."""

    trajectory: Trajectory
    condition: Condition
    priority: int
    age: int


@dataclass(frozen=True, slots=True)
class _Job:
    """One evaluation in a round, and whose it is."""

    seat: _Seat
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class _Share:
    """What a call gave one trajectory: its evaluations and, in their order, the outputs (b, c, h, w)."""

    seat: _Seat
    evaluations: list[Evaluation]
    outputs: Tensor


@dataclass(slots=True)
class Engine:
    """Drives any number of trajectories over one model, `width` evaluations a round.

    Not thread-safe: one thread calls it, and calls `cancel` and `accept` of its trajectories too.

    Attributes:
        cost: what its rounds have taken, by `(shape of a sample, signature of its condition)`.
        convergence: how fast SRDS's iterates have converged in it.
    """

    model: Denoiser
    width: int
    statistics: Statistics = field(default_factory=Statistics)
    cost: RoundCost = field(default_factory=RoundCost)
    convergence: Convergence = field(default_factory=Convergence)
    _seats: list[_Seat] = field(default_factory=list[_Seat])
    _ages: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be 1 or more, not {self.width}")

    @property
    def active(self) -> int:
        """How many trajectories are in the engine."""
        return len(self._seats)

    def add(self, trajectory: Trajectory, condition: Condition, priority: int = 0) -> None:
        """Let a trajectory take part from the next round on; a higher priority goes first."""
        self._seats.append(_Seat(trajectory, condition, priority, next(self._ages)))
        self._seats.sort(key=lambda seat: (-seat.priority, seat.age))

    @torch.inference_mode()
    def round(self) -> list[Progress]:
        """Run one round: at most `width` evaluations.

        All of it is in inference mode, in which an operation on a few small tensors takes a fifth less time.

        Returns:
            What changed, for each trajectory for which something did. A trajectory whose status is final has left
            the engine.
        """
        ended = [self._progress(seat, []) for seat in self._seats if seat.trajectory.status is not Status.RUNNING]
        self._seats = [seat for seat in self._seats if seat.trajectory.status is Status.RUNNING]
        jobs = self._pack()
        if not jobs:
            return ended
        self.statistics.rounds += 1
        self.statistics.slots += self.width
        self.statistics.evaluations += len(jobs)
        shares = {id(share.seat): share for share in self._evaluate(jobs)}
        taking = {id(job.seat): job.seat for job in jobs}
        progress = [self._deliver(seat, shares.get(key)) for key, seat in taking.items()]
        self._seats = [seat for seat in self._seats if seat.trajectory.status is Status.RUNNING]
        return ended + [p for p in progress if p.iterates or p.status is not Status.RUNNING]

    def _pack(self) -> list[_Job]:
        """Every trajectory gets its first slot before any gets a second one, then by priority and age."""
        offers = [(seat, seat.trajectory.offers()) for seat in self._seats]
        first = (_Job(seat, evaluation) for seat, evaluations in offers for evaluation in islice(evaluations, 1))
        rest = (_Job(seat, evaluation) for seat, evaluations in offers for evaluation in evaluations)
        return list(islice(chain(first, rest), self.width))

    def _evaluate(self, jobs: list[_Job]) -> list[_Share]:
        """Run the round, one call for each group that can share one; a sample that cannot be evaluated fails."""
        groups: dict[Hashable, list[_Job]] = {}
        for job in jobs:
            groups.setdefault((job.evaluation.x.shape, job.seat.condition.signature), []).append(job)
        shares: list[_Share] = []
        for kind, group in groups.items():
            began = perf_counter()
            evaluated, outputs = self._call(group)
            if len(evaluated) == len(group):
                self.cost.note(kind, len(group), perf_counter() - began)
            shares += _shares(evaluated, outputs)
        return shares

    def _call(self, jobs: list[_Job]) -> tuple[list[_Job], Tensor]:
        """Those that could be evaluated, and their outputs (b, c, h, w)."""
        x = torch.stack([job.evaluation.x for job in jobs])
        timestep = torch.tensor([job.evaluation.timestep for job in jobs], dtype=torch.float64)
        try:
            output = self.model.denoise(x, timestep, [job.seat.condition for job in jobs])
            if output.shape != x.shape:
                raise ValueError(f"the model returned shape {tuple(output.shape)} for samples {tuple(x.shape)}")
        except Exception as error:
            # Whose fault it was shows when each is evaluated alone: the others go on.
            if len(jobs) > 1:
                alone = [self._call([job]) for job in jobs]
                return [job for part, _ in alone for job in part], torch.cat([output for _, output in alone])
            jobs[0].seat.trajectory.fail(f"the model failed: {type(error).__name__}: {error}")
            return [], x[:0]
        # A sum is finite where all its terms are, and takes one pass.
        for job, row in zip(jobs, output, strict=True) if not isfinite(output.sum(dtype=torch.float32)) else ():
            if not isfinite(row.sum(dtype=torch.float32)):
                job.seat.trajectory.fail(
                    f"the model returned a non-finite value at timestep {job.evaluation.timestep:g}: "
                    "try float32 or bfloat16, or a lower guidance scale"
                )
        return jobs, output.float()

    def _deliver(self, seat: _Seat, share: _Share | None) -> Progress:
        trajectory = seat.trajectory
        if trajectory.status is not Status.RUNNING or share is None:
            return self._progress(seat, [])
        before = trajectory.newest
        iterates = trajectory.take(share.evaluations, share.outputs)
        for iterate in iterates if isinstance(trajectory, Parareal) else ():
            if iterate.residual is not None:
                self.convergence.note(iterate.number, iterate.residual, before.residual if before else None)
            before = iterate
        return self._progress(seat, iterates)

    def _progress(self, seat: _Seat, iterates: list[Iterate]) -> Progress:
        trajectory = seat.trajectory
        checkpoint = trajectory.checkpoint() if iterates else None
        return Progress(trajectory, tuple(iterates), checkpoint, trajectory.status)


def _shares(jobs: list[_Job], outputs: Tensor) -> list[_Share]:
    """The outputs (b, c, h, w) of a call, for each trajectory its own; copied only where they do not lie together."""
    rows: dict[int, list[int]] = {}
    for row, job in enumerate(jobs):
        rows.setdefault(id(job.seat), []).append(row)
    shares: list[_Share] = []
    for own in rows.values():
        first, end = own[0], own[-1] + 1
        part = outputs[first:end] if end - first == len(own) else outputs[own]
        shares.append(_Share(jobs[first].seat, [jobs[row].evaluation for row in own], part))
    return shares
