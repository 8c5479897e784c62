"""The engine: continuous batching. Each round it packs ready evaluations of many trajectories into one model call."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice
from math import isfinite
from time import perf_counter

import torch
from torch import Tensor

from sampler.cost import RoundCost
from sampler.denoiser import Condition, Denoiser, Lora
from sampler.methods import Method, new_methods
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory
from sampler.tuning import LORA_ROUNDS


@dataclass(frozen=True, slots=True)
class Progress:
    """What one round changed for one trajectory.

    Attributes:
        trajectory: the trajectory.
        iterates: those that the round completed, in order; may be empty if only the status changed.
        checkpoint: taken together with the newest of `iterates`; None if there are none.
        status: the trajectory's status after the round.
    """

    trajectory: Trajectory
    iterates: tuple[Iterate, ...]
    checkpoint: Checkpoint | None
    status: Status


@dataclass(slots=True)
class Statistics:
    """Totals: rounds, evaluations, and slots, the evaluations that the rounds could have held."""

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
class _Slot:
    """One evaluation in a round, and its owner."""

    seat: _Seat
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class _Outputs:
    """The outputs (b, c, h, w) of one trajectory's evaluations in a round, in their order."""

    seat: _Seat
    evaluations: list[Evaluation]
    outputs: Tensor


@dataclass(slots=True)
class _Turn:
    """Whose turn it is among the sets of LoRA.

    Samples with other LoRA cannot share a call, and to switch takes time. So a round has those of one set, which keeps
    its turn for `LORA_ROUNDS` while others wait; then comes the set that has waited the longest.
    """

    loras: Sequence[Lora] = ()
    rounds: int = 0
    waiting: dict[Sequence[Lora], int] = field(default_factory=dict[Sequence[Lora], int])

    def take(self, seats: list[_Seat]) -> list[_Seat]:
        """The seats of the set whose turn the next round is."""
        sets = dict.fromkeys(seat.condition.loras for seat in seats)
        if self.loras not in sets or (self.rounds >= LORA_ROUNDS and len(sets) > 1):
            others = [each for each in sets if each != self.loras]
            self.loras = max(others, key=lambda each: self.waiting.get(each, 0), default=())
            self.rounds = 0
        self.rounds += 1
        self.waiting = {each: self.waiting.get(each, 0) + 1 for each in sets if each != self.loras}
        return [seat for seat in seats if seat.condition.loras == self.loras]


@dataclass(slots=True)
class Engine:
    """Drives any number of trajectories over one model, `width` evaluations a round.

    Not thread-safe: one thread calls it, and also calls `cancel` and `accept` of its trajectories.

    Attributes:
        model: the network.
        width: evaluations that a round may hold, 1 or more. It is halved when the device has no memory for as many.
        statistics: totals over all rounds.
        cost: how long rounds have taken, by `(shape of a sample, signature of its condition)`.
        methods: by name, each with what it has learned in this engine.
    """

    model: Denoiser
    width: int
    statistics: Statistics = field(default_factory=Statistics)
    cost: RoundCost = field(default_factory=RoundCost)
    methods: Mapping[str, Method] = field(default_factory=new_methods)
    _seats: list[_Seat] = field(default_factory=list[_Seat])
    _turn: _Turn = field(default_factory=_Turn)
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

        All of it runs in inference mode, in which operations on a few small tensors take a fifth less time.

        Returns:
            The progress of each trajectory that changed. A trajectory whose status is final has left the engine.
        """
        ended = [self._progress(seat, []) for seat in self._seats if seat.trajectory.status is not Status.RUNNING]
        self._seats = [seat for seat in self._seats if seat.trajectory.status is Status.RUNNING]
        slots = self._pack()
        if not slots:
            return ended
        self.statistics.rounds += 1
        self.statistics.slots += self.width
        self.statistics.evaluations += len(slots)
        outputs = {id(each.seat): each for each in self._evaluate(slots)}
        seats = {id(slot.seat): slot.seat for slot in slots}
        progress = [self._deliver(seat, outputs.get(key)) for key, seat in seats.items()]
        self._seats = [seat for seat in self._seats if seat.trajectory.status is Status.RUNNING]
        return ended + [p for p in progress if p.iterates or p.status is not Status.RUNNING]

    def _pack(self) -> list[_Slot]:
        """Every trajectory gets its first slot before any gets a second one, then by priority and age."""
        offers = [(seat, seat.trajectory.offers()) for seat in self._turn.take(self._seats)]
        first = (_Slot(seat, evaluation) for seat, evaluations in offers for evaluation in islice(evaluations, 1))
        rest = (_Slot(seat, evaluation) for seat, evaluations in offers for evaluation in evaluations)
        return list(islice(chain(first, rest), self.width))

    def _evaluate(self, slots: list[_Slot]) -> list[_Outputs]:
        """Run the round, with one call for each group that can share one. A sample that cannot be evaluated fails."""
        groups: dict[Hashable, list[_Slot]] = {}
        for slot in slots:
            groups.setdefault((slot.evaluation.x.shape, slot.seat.condition.signature), []).append(slot)
        by_seat: list[_Outputs] = []
        for kind, group in groups.items():
            began = perf_counter()
            evaluated, outputs = self._call(group)
            if len(evaluated) == len(group):
                self.cost.note(kind, len(group), perf_counter() - began)
            by_seat += _split(evaluated, outputs)
        return by_seat

    def _call(self, slots: list[_Slot]) -> tuple[list[_Slot], Tensor]:
        """The slots that could be evaluated, and their outputs (b, c, h, w)."""
        x = torch.stack([slot.evaluation.x for slot in slots])
        timestep = torch.tensor([slot.evaluation.timestep for slot in slots], dtype=torch.float64)
        try:
            output = self.model.denoise(x, timestep, [slot.seat.condition for slot in slots])
            if output.shape != x.shape:
                raise ValueError(f"the model returned shape {tuple(output.shape)} for samples {tuple(x.shape)}")
        except Exception as error:
            if len(slots) > 1 and _is_out_of_memory(error):
                # For good: the next round of this width would fail, too, and failing takes time.
                self.width = min(self.width, len(slots)) // 2
                free_memory()
                parts = [self._call(slots[n : n + self.width]) for n in range(0, len(slots), self.width)]
                return [slot for part, _ in parts for slot in part], torch.cat([output for _, output in parts])
            # Evaluated one by one, only the samples at fault fail, and the others go on.
            if len(slots) > 1:
                alone = [self._call([slot]) for slot in slots]
                return [slot for part, _ in alone for slot in part], torch.cat([output for _, output in alone])
            slots[0].seat.trajectory.fail(f"the model failed: {type(error).__name__}: {error}")
            return [], x[:0]
        # A sum is finite if all its terms are, and takes one pass.
        for slot, row in zip(slots, output, strict=True) if not isfinite(output.sum(dtype=torch.float32)) else ():
            if not isfinite(row.sum(dtype=torch.float32)):
                slot.seat.trajectory.fail(
                    f"the model returned a non-finite value at timestep {slot.evaluation.timestep:g}: "
                    "try float32 or bfloat16, or a lower guidance scale"
                )
        return slots, output.float()

    def _deliver(self, seat: _Seat, outputs: _Outputs | None) -> Progress:
        trajectory = seat.trajectory
        if trajectory.status is not Status.RUNNING or outputs is None:
            return self._progress(seat, [])
        previous = trajectory.newest
        iterates = trajectory.take(outputs.evaluations, outputs.outputs)
        if method := self.methods.get(trajectory.method):
            for iterate in iterates:
                method.observe(iterate, previous)
                previous = iterate
        return self._progress(seat, iterates)

    def _progress(self, seat: _Seat, iterates: list[Iterate]) -> Progress:
        trajectory = seat.trajectory
        checkpoint = trajectory.checkpoint() if iterates else None
        return Progress(trajectory, tuple(iterates), checkpoint, trajectory.status)


def _is_out_of_memory(error: Exception) -> bool:
    cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return cpu or isinstance(error, torch.OutOfMemoryError | MemoryError)


def free_memory() -> None:
    """Give back what PyTorch keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _split(slots: list[_Slot], outputs: Tensor) -> list[_Outputs]:
    """The outputs (b, c, h, w) of a call by trajectory; copied only if a trajectory's rows are not adjacent."""
    rows: dict[int, list[int]] = {}
    for row, slot in enumerate(slots):
        rows.setdefault(id(slot.seat), []).append(row)
    by_seat: list[_Outputs] = []
    for own in rows.values():
        first, end = own[0], own[-1] + 1
        part = outputs[first:end] if end - first == len(own) else outputs[own]
        by_seat.append(_Outputs(slots[first].seat, [slots[row].evaluation for row in own], part))
    return by_seat
