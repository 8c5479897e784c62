"""The process of a replica: it loads the model, and executes the requests that arrive on two pipes."""

import os
import signal
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any

import torch

from sampler.denoiser import Model
from sampler.replicas.messages import Portion, Reply, failed, pack, unpack


def serve(
    factory: Callable[[], Model],
    threads: int | None,
    rounds: "Connection[Reply, Portion]",
    calls: "Connection[Any, Any]",
) -> None:
    """The main function of the process: report that the model is loaded, or the error; then serve rounds and calls.

    Rounds and calls have a pipe and a thread each, so that no round waits for a picture that is being decoded, and no
    picture for a round.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent ends this process
    Thread(target=_end_with_parent, daemon=True).start()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        model = factory()
    except Exception as error:
        rounds.send(failed(error))
        return
    rounds.send(Reply())
    Thread(target=_serve_calls, args=(model, calls), daemon=True).start()
    _serve_rounds(model, rounds)


def _end_with_parent() -> None:
    """End this process when its parent ends, even by SIGKILL."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _serve_rounds(model: Model, pipe: "Connection[Reply, Portion]") -> None:
    conditions: dict[int, Any] = {}
    buffer = torch.empty(2, 0)
    while True:
        try:
            share = pipe.recv()
        except (EOFError, OSError):
            return
        # An error here ends the process: it would otherwise lack conditions that the main process believes to be here.
        for number in share.dropped:
            del conditions[number]
        conditions |= {number: unpack(data, model.device) for number, data in share.new.items()}
        if share.buffer is not None:
            buffer = share.buffer
        samples, outputs = buffer[:, : share.shape.numel()].view(2, *share.shape)
        timestep = torch.tensor(share.timesteps, dtype=torch.float64)
        try:
            with torch.inference_mode():
                # A copy, since the model may keep or change its arguments.
                x = samples.to(model.device, copy=True)
                output = model.denoise(x, timestep, [conditions[number] for number in share.conditions])
            if output.shape != share.shape:
                raise ValueError(f"the model returned shape {tuple(output.shape)} for samples {tuple(share.shape)}")
            outputs.copy_(output)
            reply = Reply()
        except Exception as error:
            reply = failed(error)
        pipe.send(reply)


def _serve_calls(model: Model, pipe: "Connection[Any, Any]") -> None:
    while True:
        try:
            name, args, kwargs = unpack(pipe.recv_bytes(), model.device)
        except (EOFError, OSError):
            return
        try:
            value = getattr(model, name)(*args, **kwargs)
            reply = Reply((value.signature, pack(value)) if name == "encode" else value)
        except Exception as error:
            reply = failed(error)
        pipe.send_bytes(pack(reply))
