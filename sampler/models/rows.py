"""Where the rows of a batch lie in a network's arguments, and calls for one picture each as one call for all.

Nothing is guessed from sizes: the arguments of a call for one picture are compared with those of the same call for two.
What doubles holds rows; a tensor of one element is a value for all rows, and may be given as one per row; the rest must
be equal for all.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# (arguments of any kind)
from sampler.errors import UnsupportedModel
from sampler.models.driven import NetworkCall, Output

Leaf = Tensor | list[Tensor]


@dataclass(frozen=True, slots=True)
class Arguments:
    """A call's arguments, taken apart.

    Attributes:
        skeleton: everything but the tensors.
        leaves: the tensors, and the lists of tensors.
    """

    skeleton: Hashable
    leaves: list[Leaf]

    @classmethod
    def of(cls, call: NetworkCall) -> "Arguments":
        leaves: list[Leaf] = []
        skeleton = ("call", _Constant(call.network), _apart(call.args, leaves), _apart(call.kwargs, leaves))
        return cls(skeleton, leaves)

    def build(self, leaves: Sequence[Leaf]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with other tensors."""
        _, _, args, kwargs = cast("tuple[Any, Any, Any, Any]", self.skeleton)
        rest = iter(leaves)
        return tuple(_together(args, rest)), _together(kwargs, rest)

    @property
    def network(self) -> str:
        """The name of the component that is called."""
        return cast("Any", self.skeleton)[1].value

    @property
    def paths(self) -> Hashable:
        """The names of the tensors: alike for calls that differ in plain values alone."""
        return tuple(_paths(self.skeleton, ""))

    @property
    def shapes(self) -> Hashable:
        return tuple(shape(leaf) for leaf in self.leaves)


def _paths(skeleton: Any, path: str) -> Iterator[str]:
    if skeleton == _Mark.LEAF:
        yield path
    elif isinstance(skeleton, tuple):
        named = skeleton[0] == "dict"
        for n, item in enumerate(cast("tuple[Any, ...]", skeleton[1:])):
            yield from _paths(item[1], f"{path}.{item[0]}") if named else _paths(item, f"{path}.{n}")


def equal(one: Leaf, two: Leaf) -> bool:
    """Whether two leaves are the same."""
    if isinstance(one, list) or isinstance(two, list):
        return (
            isinstance(one, list) and isinstance(two, list) and shape(one) == shape(two) and all(map(equal, one, two))
        )
    return one.shape == two.shape and one.dtype == two.dtype and torch.equal(one, two)


def shape(leaf: Leaf) -> Hashable:
    if isinstance(leaf, Tensor):
        return tuple(leaf.shape)
    return tuple(tuple(item.shape) for item in leaf)


def _apart(value: Any, leaves: list[Leaf]) -> Hashable:
    if isinstance(value, Tensor):
        leaves.append(value)
        return _Mark.LEAF
    if isinstance(value, dict):
        return ("dict", *((name, _apart(item, leaves)) for name, item in value.items()))
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        if items and all(isinstance(item, Tensor) for item in items) and isinstance(value, list):
            leaves.append(value)
            return _Mark.LEAF
        return (type(value).__name__, *(_apart(item, leaves) for item in items))
    return _Constant(value)


class _Mark:
    LEAF = "leaf"


@dataclass(frozen=True, slots=True)
class _Constant:
    """Equal if the values are; for what has no hash, if they are the same object."""

    value: Any

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Constant) and (self.value is other.value or bool(self.value == other.value))


def _together(skeleton: Any, leaves: Any) -> Any:
    if skeleton == _Mark.LEAF:
        return next(leaves)
    if isinstance(skeleton, _Constant):
        return skeleton.value
    kind, *items = skeleton
    if kind == "dict":
        return {name: _together(item, leaves) for name, item in items}
    built = [_together(item, leaves) for item in items]
    return built if kind == "list" else tuple(built)


# Of a leaf: the axis of its rows; LIST if it is a list with an item for each row, EACH if all its items hold rows; ONE
# for a value that may be given once or once per row; SAME for what must be equal for all rows.
LIST, EACH, ONE, SAME = "list", "each", "one", "same"
Place = int | str


def learn(one: Arguments, two: Arguments) -> list[Place]:
    """The place of the rows in each leaf, from a call for one picture and the same for two.

    Raises:
        UnsupportedModel: the calls differ in something else.
    """
    if len(one.leaves) != len(two.leaves):
        raise UnsupportedModel("its network is called with other arguments for two pictures than for one")
    return [_place(a, b) for a, b in zip(one.leaves, two.leaves, strict=True)]


def _place(one: Leaf, two: Leaf) -> Place:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        if one.shape == two.shape:
            return ONE if one.numel() == 1 else SAME
        grown = [n for n, (a, b) in enumerate(zip(one.shape, two.shape, strict=False)) if a != b]
        if one.ndim == two.ndim and len(grown) == 1 and two.shape[grown[0]] == 2 * one.shape[grown[0]]:
            return grown[0]
    elif isinstance(one, list) and isinstance(two, list):
        if len(two) == 2 * len(one):
            return LIST
        if shape(one) == shape(two):
            return SAME
        if {_place(a, b) for a, b in zip(one, two, strict=True)} == {0}:
            return EACH
    raise UnsupportedModel(
        f"an argument of its network has shape {shape(one)} for one picture and {shape(two)} for two: neither the same "
        "nor twice as many rows"
    )


def count(arguments: Arguments, places: Sequence[Place]) -> int:
    """The rows of one picture's call: 2 with classifier-free guidance in one call."""
    for leaf, place in zip(arguments.leaves, places, strict=True):
        if place == LIST:
            return len(leaf)
        if place == EACH:
            return len(leaf[0])
        if isinstance(place, int) and isinstance(leaf, Tensor):
            return leaf.shape[place]
    raise UnsupportedModel("no argument of its network holds the pictures of a batch")


def merge(calls: Sequence[Arguments], places: Sequence[Place], count: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of one call for all pictures, each of `count` rows; first the first rows of all, then the second.

    (Diffusers' pipelines order rows so, and some networks cut them into the parts of the guidance.)
    """
    if len(calls) == 1:
        return calls[0].build(calls[0].leaves)
    merged = [
        _merged([call.leaves[n] for call in calls], place, count) for n, place in enumerate(places)
    ]  # fmt: skip
    return calls[0].build(merged)


def _merged(leaves: list[Any], place: Place, count: int) -> Leaf:
    if place == SAME:
        return leaves[0]
    if place == ONE:
        return torch.stack([leaf.reshape(()) for leaf in leaves]).repeat(count)
    if place == LIST:
        return [leaf[row] for row in range(len(leaves[0])) for leaf in leaves]
    if place == EACH:
        return [cast("Tensor", _merged(list(items), 0, count)) for items in zip(*leaves, strict=True)]
    axis = cast("int", place)
    if leaves[0].shape[axis] == 1:
        return torch.cat(leaves, axis)
    return torch.stack(leaves, axis + 1).flatten(axis, axis + 1)


def split(output: Any, pictures: int, count: int) -> list[Any]:
    """A network's output for each picture of `merge`, as the network would return it."""
    if pictures == 1:
        return [output if isinstance(output, Tensor) else Output(_items(output))]
    if isinstance(output, Tensor):
        return [_picked(output, n, pictures, count) for n in range(pictures)]
    items = _items(output)
    return [Output(_picked(item, n, pictures, count) for item in items) for n in range(pictures)]


def _items(output: Any) -> tuple[Any, ...]:
    return tuple(output.values()) if isinstance(output, dict) else tuple(output)


def _picked(item: Any, picture: int, pictures: int, count: int) -> Any:
    if isinstance(item, list):
        return item[picture::pictures]
    if not isinstance(item, Tensor):
        return item
    if item.shape[0] != pictures * count:
        raise ValueError(f"the network returned {item.shape[0]} rows for {pictures * count}")
    return item[picture::pictures]
