"""The dataflow of pipelined SRDS, by counts alone: which evaluations are ready, and what each round makes known.

`Parareal` does the arithmetic that this calls for; `sampler.plan` counts with it beforehand.

A node (block i, iterate p) is the work from the boundary x[i, p] on: its first evaluation gives G(x[i, p]), its last
one F(x[i, p]). x[i+1, p] is known as soon as F(x[i, p-1]), G(x[i, p-1]) and G(x[i, p]) are; where x[i, p-1] is exact
already (i = p - 1), F alone gives it.

With unbounded width, where every way to x[B, p] crosses p blocks by fine steps and the others by one coarse step:

T(p) = (B - p) + (the p longest blocks), the rounds until iterate p is complete.

E(p) = sum over q < p of (N - b_q)  +  (B - p), the evaluations that iterate p needs, b_q being the step at which block
q starts: each iterate before p is solved finely from its first block that is not exact on, and each node of iterate p
is evaluated once.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Mapping, Sequence

# (block, iterate): a node, and the boundary where it starts.
Key = tuple[int, int]

# A key as it is sorted, see `Dataflow._urgency`.
_Urgency = tuple[int, int, int]


def rounds(lengths: Sequence[int], iterate: int) -> int:
    """T(p): the rounds until iterate `p` is complete with unbounded width, for blocks of these lengths."""
    return len(lengths) - iterate + sum(sorted(lengths, reverse=True)[:iterate])


def evaluations(lengths: Sequence[int], iterate: int) -> int:
    """E(p): the evaluations that iterate `p` needs, for blocks of these lengths."""
    return sum(sum(lengths[q:]) for q in range(iterate)) + len(lengths) - iterate


class Dataflow:
    """Which nodes are ready, and which boundaries are known.

    Attributes:
        lengths: of the blocks, in steps.
        last: the last iterate that is wanted; at most B.
        done: the steps taken of every node that is still of use.
        settled: nodes of which only the first evaluation is made; the boundary after one stands for its solution. New
            ones may be added before they are evaluated.
        newest: the newest iterate that is complete; -1 where there is none.
        path: the node that the serial path is in; its block and iterate are equal.
        spent: evaluations so far.
        pace: evaluations of the latest round.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        last: int,
        *,
        done: Mapping[Key, int] | None = None,
        settled: Collection[Key] = (),
        newest: int = -1,
        spent: int = 0,
    ) -> None:
        """At the start, or where another one stood."""
        self.lengths = lengths
        self.last = last
        self.done = {(0, 0): 0} if done is None else dict(done)
        self.settled = set(settled)
        self.newest = newest
        self.path = max(((i, p) for i, p in self.done if i == p), default=(0, 0))
        self.spent = spent
        self.pace = 0
        self._needed = evaluations(lengths, last)
        self._steps = sum(lengths)
        self._starts = [sum(lengths[:i]) for i in range(len(lengths))]
        # What is ready, the most urgent first.
        self._open = sorted(self._urgency(key) for key in self.done if self._is_open(key))

    def ready(self, width: int | None = None, *, exact: bool = False) -> list[Key]:
        """The `width` most urgent evaluations (None: all) that could be made now: the next one of each of these nodes.

        The coarse chain goes first, then the serial path, then lower iterates and earlier blocks. Beyond the last
        iterate the serial path goes on where the exact image is wanted or comes first.
        """
        keys = [(i, p) for _, p, i in self._open[:width]]
        if (exact or self._exact_comes_first()) and not self._is_open(self.path):
            keys = [self.path, *keys][:width]
        return keys

    def take(self, keys: Sequence[Key]) -> list[Key]:
        """The next evaluation of each of these nodes was made in one round.

        Returns:
            The boundaries (i, p) that are known now, in an order in which they can be computed. With those of i = B
            iterates are complete, see `complete`.
        """
        self.spent += len(keys)
        self.pace = len(keys)
        waiting: list[Key] = []
        for key in keys:
            self._step(key, waiting)
        known: list[Key] = []
        for i, p in waiting:
            if not self._becomes_known(i, p) or (i + 1, p) in known:
                continue
            known.append((i + 1, p))
            if (i, p) in self.settled:
                self.done[i, p] = self.lengths[i]
                waiting.append((i, p + 1))
            if i + 1 < len(self.lengths):
                self._add((i + 1, p))
        return known

    def complete(self, iterate: int) -> None:
        """An iterate is complete: forget what lower ones were made from."""
        self.newest = iterate
        self.done = {key: done for key, done in self.done.items() if key[1] >= iterate}
        self._open = [urgency for urgency in self._open if urgency[1] >= iterate]

    def take_again(self, keys: Sequence[Key], width: int) -> int:
        """Go through the rounds of this width that are like the latest one, which took these keys, and make nothing
        known.

        Returns:
            How many they are; 0 where the next round takes others, or makes something known.
        """
        if self.ready(width) != keys:
            return 0
        times = min(self.lengths[i] - self.done[i, p] for i, p in keys) - 1
        for key in keys:
            self.done[key] += times
        self.spent += times * len(keys)
        return times

    def to_exact(self) -> int:
        """The steps that are left of the serial path."""
        block = self.path[0]
        return self._steps - self._starts[block] - self.done.get(self.path, self.lengths[block])

    def _exact_comes_first(self) -> bool:
        """Whether the serial path, a step a round, ends before the last iterate at the pace of the latest round."""
        if not 0 <= self.newest < len(self.lengths) or not self.pace:
            return False
        return self.to_exact() < (self._needed - self.spent) / self.pace

    def _urgency(self, key: Key) -> _Urgency:
        i, p = key
        if p == 0 and self.done[key] == 0:  # the coarse chain
            return 0, p, i
        return (1 if i == p else 2), p, i  # of all (i, i) only the serial path is ever unfinished

    def _is_open(self, key: Key) -> bool:
        """Whether a node's next evaluation is needed for the last iterate."""
        (i, p), done = key, self.done[key]
        if done == 0:
            return p <= self.last
        return done < self.lengths[i] and p < self.last and key not in self.settled

    def _step(self, key: Key, waiting: list[Key]) -> None:
        """Count a step of a node. Its first one gives G(x[i, p]), its last one F(x[i, p]): `waiting` gets the
        boundaries' predecessors that waited for it."""
        i, p = key
        done = self.done[key]
        last = done + 1 == self.lengths[i]
        if done and not last:
            self.done[key] = done + 1
            return
        urgency = self._urgency(key)
        at = bisect_left(self._open, urgency)
        if self._open[at : at + 1] == [urgency]:
            del self._open[at]
        self.done[key] = done + 1
        if self._is_open(key):
            insort(self._open, self._urgency(key))
        if not done:
            waiting.append(key)
        if last:
            waiting.append((i, p + 1))

    def _becomes_known(self, i: int, p: int) -> bool:
        """Whether x[i+1, p] can be computed now, and is wanted, and could not be before."""
        if p <= self.newest or (i + 1, p) in self.done or not (p <= self.last or i + 1 == p):
            return False
        if p > 0 and self.done.get((i, p - 1), 0) < self.lengths[i]:
            return False
        return i == p - 1 or self.done.get((i, p), 0) > 0

    def _add(self, key: Key) -> None:
        self.done[key] = 0
        if key[0] == key[1]:
            self.path = key
        if self._is_open(key):
            insort(self._open, self._urgency(key))
