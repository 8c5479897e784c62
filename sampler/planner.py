"""From a request to a plan: a method by its name, or what `auto` chooses among the candidates of all methods."""

from collections.abc import Mapping

from sampler import tuning
from sampler.errors import InvalidCheckpoint
from sampler.methods import Candidate, Circumstances, Method, Plan, Stopping
from sampler.trajectory import Checkpoint

AUTO = "auto"


def plan(
    method: str,
    methods: Mapping[str, Method],
    steps: int,
    stopping: Stopping,
    circumstances: Circumstances,
    *,
    blocks: int | None = None,
    checkpoint: Checkpoint | None = None,
) -> Plan:
    """The plan for one image.

    Only "auto" considers all the circumstances. A method that is named sees the width alone, and so does "auto" with
    `blocks`: it is the method that takes them. The iterates of such a plan are the same on every machine.

    Args:
        method: "auto" or the name of a method.
        methods: of the engine that will run the plan, by name.
        steps: N.
        stopping: when the image is finished.
        circumstances: what "auto" considers.
        blocks: B; None lets the method choose.
        checkpoint: to resume from; "auto" then keeps its method.

    Raises:
        ValueError: there is no such method.
        InvalidCheckpoint: the checkpoint is of a method that is not in `methods`.
    """
    if method == AUTO and blocks is not None:
        method = next(name for name, each in methods.items() if "blocks" in each.parameters)
    if method == AUTO:
        return choose(methods, steps, stopping, circumstances, checkpoint)
    if method not in methods:
        raise ValueError(f"there is no method {method}: choose one of {', '.join([AUTO, *methods])}")
    return methods[method].plan(steps, circumstances.width, stopping, blocks)


def choose(
    methods: Mapping[str, Method],
    steps: int,
    stopping: Stopping,
    circumstances: Circumstances,
    checkpoint: Checkpoint | None = None,
) -> Plan:
    """The candidate that is expected to finish first; see `plan` for the arguments.

    With the wish "cost", only candidates that need hardly more evaluations than the fewest are compared.
    """
    proposing = methods.values() if checkpoint is None else [_of(checkpoint, methods)]
    candidates: list[Candidate] = []
    for method in proposing:
        candidates += method.candidates(steps, stopping, circumstances, checkpoint)
    if circumstances.wish == "cost":
        most = tuning.AFFORDABLE * min(candidate.evaluations for candidate in candidates)
        candidates = [candidate for candidate in candidates if candidate.evaluations <= most]
    return min(candidates, key=lambda candidate: (candidate.time, candidate.evaluations)).plan


def _of(checkpoint: Checkpoint, methods: Mapping[str, Method]) -> Method:
    name = checkpoint.description.get("method")
    method = methods.get(str(name))
    if method is None:
        raise InvalidCheckpoint(f"a checkpoint of method {name} cannot be resumed")
    return method
