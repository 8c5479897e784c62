"""The messages between the main process and the process of a replica."""

import io
import pickle
import traceback
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Unfit(Exception):
    """A replica ran out of memory, or its device has failed. Only a new process can help."""


@dataclass(frozen=True, slots=True)
class Portion:
    """A replica's share of a round.

    Attributes:
        shape: (b, c, h, w) of its samples, which lie at the start of `buffer[0]`; the outputs go into `buffer[1]`.
        timesteps: one for each sample.
        conditions: the number of each sample's condition.
        new: those of these conditions that the replica does not have yet, packed.
        dropped: the numbers of conditions that the replica can delete.
        buffer: (2, n) float32 in shared memory, used from this round on; None for the buffer of the round before.
    """

    shape: torch.Size
    timesteps: list[float]
    conditions: list[int]
    new: dict[int, bytes]
    dropped: list[int]
    buffer: Tensor | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a call: a value, or an exception to raise in the main process."""

    value: Any = None
    error: Exception | None = None

    def result(self) -> Any:
        """The value.

        Raises:
            Exception: the one that the call raised.
        """
        if self.error is not None:
            raise self.error
        return self.value


def pack(value: Any) -> bytes:
    """The bytes of an object that can be pickled, including its tensors."""
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def unpack(data: bytes, device: torch.device | str) -> Any:
    """The object, with its tensors on `device`. Unpickling runs code: pass only bytes that `pack` returned."""
    # Tensors that are created in inference mode cannot be changed outside of it, and these outlive the call.
    with torch.inference_mode(False):
        return torch.load(io.BytesIO(data), map_location=device, weights_only=False)


def failed(error: Exception) -> Reply:
    """A reply with an exception, which has the traceback as a note.

    An error that only a new process can recover from becomes `Unfit`. One that cannot be pickled becomes a RuntimeError
    with the same message.
    """
    trace = "".join(traceback.format_exception(error))
    message = f"{type(error).__name__}: {error}"
    if _unfit(error):
        error = Unfit(message)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(message)
    error.add_note(f"In the replica:\n{trace}")
    return Reply(error=error)


def _unfit(error: Exception) -> bool:
    """Whether the process cannot go on: after a device fault ("CUDA error") every operation on the device fails."""
    no_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    return no_memory or "CUDA error" in str(error)
