"""A model for tests of replicas: an analytic one whose prompts are instructions, and the shipped one.

It writes a diary, a file with one line for each event, which all replicas share.
"""

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sampler import Lora, Model, Solver, load_model
from tests.sampler.conftest import EMOJI
from tests.sampler.problems import SHAPE, Mixture, noise, solver
from tests.until import until

SIZE = SHAPE[-1]  # in pixels, of the analytic model's pictures


class Diary:
    """The events of several processes, in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, "pid": os.getpid(), **fields}) + "\n"
        with self.path.open("a") as file:
            file.write(line)

    def read(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]


@dataclass(frozen=True)
class Instruction:
    """A condition that makes the model do something. When it is unpacked, it writes into the diary."""

    prompt: str
    diary: Diary
    signature: int = 0
    loras: tuple[Lora, ...] = ()

    def __reduce__(self) -> Any:
        return unpacked, (self.prompt, self.diary)


def unpacked(prompt: str, diary: Diary) -> Instruction:
    diary.write("unpacked", prompt=prompt)
    return Instruction(prompt, diary)


class Studio:
    """The model. A prompt is one of these instructions:

    - "plain": evaluate.
    - "pair": wait until another process evaluates this prompt, too.
    - "raise", "shape": raise an error, or return a wrong shape.
    - "die", "hang", "memory", each followed by a word: the first replica that evaluates it with this word is killed,
      hangs or runs out of memory; with the word "always" every replica.
    - "linger": encode it only when "resume" is in the diary.
    - "emoji ...": use the shipped model.
    """

    device = torch.device("cpu")

    def __init__(self, diary: Path, fails: bool = False) -> None:
        if fails:
            raise ValueError("no such folder")
        self.diary = Diary(diary)
        self.analytic = Mixture()

    @cached_property
    def emoji(self) -> Model:
        return load_model(EMOJI)

    def encode(self, prompt: str, negative_prompt: str = "", guidance_scale: float = 7.5, **options: Any) -> Any:
        if prompt.startswith("emoji "):
            return self.emoji.encode(prompt.removeprefix("emoji "), negative_prompt, guidance_scale, **options)
        if prompt == "linger":
            self.diary.write("linger")
            until(lambda: self.diary.read("resume"))
        return Instruction(prompt, self.diary)

    def solver(self, steps: int, name: str | None = None, *, height: int | None = None, **options: Any) -> Solver:
        return solver(steps) if height == SIZE else self.emoji.solver(steps, name, height=height, **options)

    def noise(self, seed: int, height: int, width: int, **options: Any) -> Tensor:
        return noise(seed) if height == SIZE else self.emoji.noise(seed, height, width, **options)

    def substitute(self) -> tuple[str, str] | None:
        return None

    def decode(self, samples: Tensor) -> Tensor:
        if samples.shape[1] == SHAPE[0]:
            raise ValueError("there is no picture in this")
        return self.emoji.decode(samples)

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Any]) -> Tensor:
        if not isinstance(conditions[0], Instruction):
            return self.emoji.denoise(x, timestep, conditions)
        self.diary.write("begin", size=len(x))
        for prompt in {condition.prompt for condition in conditions}:
            self._obey(prompt)
        output = self.analytic.output(x, timestep)
        self.diary.write("end")
        return output[:, :1] if any(condition.prompt == "shape" for condition in conditions) else output

    def _obey(self, prompt: str) -> None:
        what, _, occasion = prompt.partition(" ")
        if what == "pair":
            self.diary.write("pair")
            until(lambda: len(self.diary.read("pair")) % 2 == 0)
        if what == "raise":
            raise LookupError("out of paint")
        if what in ("die", "hang", "memory") and (occasion == "always" or self._first(occasion)):
            self.diary.write(what)
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "hang":
                time.sleep(1000)
            raise torch.OutOfMemoryError("out of memory")

    def _first(self, occasion: str) -> bool:
        try:
            (self.diary.path.parent / occasion).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True
