"""Pictures of several threads, decoded together: one call for many takes about half of as many calls for one each."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from torch import Tensor

# A call takes so many numbers of a sample's channels at the most, (h * w): about one picture of 1024 x 1024 pixels.
TOGETHER = 128 * 128


@dataclass(frozen=True, eq=False, slots=True)
class _Request:
    sample: Tensor
    picture: "Future[Tensor]" = field(default_factory=Future)


class Decoder:
    """Decodes for any number of threads. What they ask for while a call runs goes together into the next one.

    A thread of its own does so: PyTorch has helpers for each thread that calls it, and all of them want the same cores.
    """

    def __init__(self, decode: Callable[[Tensor], Tensor]) -> None:
        """`decode`: samples (b, c, h, w) to pictures (b, H, W, 3), see `sampler.Model`."""
        self._decode = decode
        self._waiting: deque[_Request] = deque()
        self._thread = ThreadPoolExecutor(1, "decoder")

    def picture(self, sample: Tensor) -> Tensor:
        """A sample (c, h, w) as a picture (H, W, 3), uint8 on the CPU.

        Raises:
            Whatever decoding this sample raises.
        """
        request = _Request(sample)
        self._waiting.append(request)
        self._thread.submit(self._turn)
        return request.picture.result()

    def _turn(self) -> None:
        """Answer the oldest request, and those behind it that fit into its call. There is a turn for each request; it
        may have been answered in one before."""
        if not self._waiting:
            return
        requests = [self._waiting.popleft()]
        shape = requests[0].sample.shape
        room = TOGETHER // (shape[-2] * shape[-1])
        while self._waiting and self._waiting[0].sample.shape == shape and len(requests) < room:
            requests.append(self._waiting.popleft())
        self._answer(requests)

    def _answer(self, requests: list[_Request]) -> None:
        try:
            pictures = self._decode(torch.stack([request.sample for request in requests]))
        except Exception as error:
            if len(requests) == 1:
                requests[0].picture.set_exception(error)
                return
            # There may be room for each alone; and whose fault it was shows.
            for request in requests:
                self._answer([request])
            return
        for request, pixels in zip(requests, pictures, strict=True):
            request.picture.set_result(pixels)
