"""The dataflow of pipelined SRDS, by counts alone: which evaluations are ready, and what each round makes known.

`Parareal` does the arithmetic; `sampler.methods.srds.plan` counts rounds in advance. Both use this.

A node (block i, iterate p) is the work that starts at the boundary x[i, p]: its first evaluation gives G(x[i, p]), its
last one F(x[i, p]). x[i+1, p] is known as soon as F(x[i, p-1]), G(x[i, p-1]) and G(x[i, p]) are. If x[i, p-1] is exact
already (i = p - 1), F alone gives it.

With unbounded width every path to x[B, p] crosses p blocks by fine steps and the others by one coarse step, so that

T(p) = (B - p) + (the p longest blocks) rounds complete iterate p.

E(p) = sum over q < p of (N - b_q)  +  (B - p) evaluations are needed for it, where b_q is the grid point at which block
q starts: each iterate before p is solved finely from its first inexact block on, and each node of iterate p is
evaluated once.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence

# (block, iterate): a node, and the boundary where it starts.
Key = tuple[int, int]

# The sort key of a node, see `Dataflow._urgency`.
_Urgency = tuple[bool, bool, int, int]


def rounds(lengths: Sequence[int], iterate: int) -> int:
    """T(p): the rounds until iterate `iterate` is complete with unbounded width, for blocks of these lengths."""
    return len(lengths) - iterate + sum(sorted(lengths, reverse=True)[:iterate])


def evaluations(lengths: Sequence[int], iterate: int) -> int:
    """E(p): the evaluations that iterate `iterate` needs, for blocks of these lengths."""
    return sum(sum(lengths[q:]) for q in range(iterate)) + len(lengths) - iterate


class Dataflow:
    """Which nodes are ready, and which boundaries are known.

    Attributes:
        lengths: of the blocks, in steps.
        last: the last iterate that is wanted; at most B.
        done: the steps taken of every node that is still needed.
        newest: the newest complete iterate; -1 if there is none.
        path: the node that the serial path has reached; its block and iterate are equal.
        spent: evaluations so far.
        pace: evaluations of the latest round.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        last: int,
        *,
        done: Mapping[Key, int] | None = None,
        newest: int = -1,
        spent: int = 0,
    ) -> None:
        """At the start, or with the counts of a checkpoint."""
        self.lengths = lengths
        self.last = last
        self.done = {(0, 0): 0} if done is None else dict(done)
        self.newest = newest
        self.path = max(((i, p) for i, p in self.done if i == p), default=(0, 0))
        self.spent = spent
        self.pace = 0
        self._needed = evaluations(lengths, last)
        self._steps = sum(lengths)
        self._starts = [sum(lengths[:i]) for i in range(len(lengths))]
        # The ready nodes, most urgent first.
        self._open = sorted(self._urgency(key) for key in self.done if self._is_open(key))

    def ready(self, width: int | None = None, *, exact: bool = False) -> list[Key]:
        """The nodes of the `width` most urgent evaluations (None: all) that can run now.

        The coarse chain goes first, then the serial path, then lower iterates and earlier blocks. Beyond the last
        iterate the serial path goes on if the exact image is wanted (`exact`) or comes first.
        """
        keys = [(i, p) for _, _, p, i in self._open[:width]]
        if (exact or self._exact_comes_first()) and not self._is_open(self.path):
            keys = [self.path, *keys][:width]
        return keys

    def take(self, keys: Sequence[Key]) -> list[Key]:
        """Count a round in which the next evaluation of each of these nodes was made.

        Returns:
            The boundaries (i, p) that have become known, in an order in which they can be computed. Those of i = B
            complete iterates, see `complete`.
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
            if i + 1 < len(self.lengths):
                self._add((i + 1, p))
        return known

    def complete(self, iterate: int) -> None:
        """Note a complete iterate, and forget the nodes of lower ones."""
        self.newest = iterate
        self.done = {key: done for key, done in self.done.items() if key[1] >= iterate}
        self._open = [urgency for urgency in self._open if urgency[2] >= iterate]

    def take_again(self, keys: Sequence[Key], width: int) -> int:
        """Count all following rounds of this width that take the same nodes, `keys`, and make nothing known.

        Returns:
            The number of these rounds; 0 if the next one takes other nodes or makes something known.
        """
        if self.ready(width) != keys:
            return 0
        times = min(self.lengths[i] - self.done[i, p] for i, p in keys) - 1
        for key in keys:
            self.done[key] += times
        self.spent += times * len(keys)
        return times

    def to_exact(self) -> int:
        """The remaining steps of the serial path."""
        block = self.path[0]
        return self._steps - self._starts[block] - self.done.get(self.path, self.lengths[block])

    def _exact_comes_first(self) -> bool:
        """Whether the serial path, one step a round, ends before the last iterate at the pace of the latest round."""
        if not 0 <= self.newest < len(self.lengths) or not self.pace:
            return False
        return self.to_exact() < (self._needed - self.spent) / self.pace

    def _urgency(self, key: Key) -> _Urgency:
        i, p = key
        coarse = p == 0 and self.done[key] == 0
        # Of all nodes (i, i) only that of the serial path is ever unfinished.
        return not coarse, i != p, p, i

    def _is_open(self, key: Key) -> bool:
        """Whether a node's next evaluation is needed for the last iterate."""
        (i, p), done = key, self.done[key]
        if done == 0:
            return p <= self.last
        return done < self.lengths[i] and p < self.last

    def _step(self, key: Key, waiting: list[Key]) -> None:
        """Count a step of a node. Its first step gives G(x[i, p]), its last one F(x[i, p]): append the nodes whose next
        boundary may become known by that to `waiting`."""
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
        """Whether x[i+1, p] is wanted, was not known before, and can be computed now."""
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
