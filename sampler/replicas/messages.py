"""The messages between the two sides of a replica."""

import io
import pickle
import traceback
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Unfit(Exception):
    """A replica ran out of memory, or its device is in no state to go on."""


@dataclass(frozen=True, slots=True)
class Portion:
    """A replica's share of a round.

    Attributes:
        shape: (b, c, h, w) of its samples, which lie at the start of `buffer[0]`; the outputs go into `buffer[1]`.
        timesteps: b of them.
        conditions: b numbers.
        new: the conditions among them that the replica has not got yet, packed.
        dropped: the numbers of conditions that it can forget.
        buffer: (2, n) float32 in shared memory, from this round on; None: that of the round before.
    """

    shape: torch.Size
    timesteps: list[float]
    conditions: list[int]
    new: dict[int, bytes]
    dropped: list[int]
    buffer: Tensor | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call: a value, or an exception that goes on at the caller's."""

    value: Any = None
    error: Exception | None = None

    def result(self) -> Any:
        """The value.

        Raises:
            Exception: the one that came of the call.
        """
        if self.error is not None:
            raise self.error
        return self.value


def pack(value: Any) -> bytes:
    """Any object that can be pickled, with the tensors in it."""
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def unpack(data: bytes, device: torch.device | str) -> Any:
    """The object, its tensors on `device`. Only for what a process of ours has packed: unpickling runs code."""
    # Tensors made in inference mode could not be changed outside of it, and these outlive the call.
    with torch.inference_mode(False):
        return torch.load(io.BytesIO(data), map_location=device, weights_only=False)


def failed(error: Exception) -> Reply:
    """The answer that carries an exception, with its traceback as a note.

    One that only a fresh process gets over becomes `Unfit`; one that cannot be pickled a RuntimeError of its words.
    """
    trace = "".join(traceback.format_exception(error))
    words = f"{type(error).__name__}: {error}"
    if _unfit(error):
        error = Unfit(words)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(words)
    error.add_note(f"In the replica:\n{trace}")
    return Reply(error=error)


def _unfit(error: Exception) -> bool:
    """After a fault of the device ("CUDA error"), everything that a process does there fails."""
    no_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    return no_memory or "CUDA error" in str(error)
