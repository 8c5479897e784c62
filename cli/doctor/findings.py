"""The results of checks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: of what was checked.
        state: ``skipped`` if it could not be checked, or if there was nothing to check.
        detail: what was found.
        advice: what to do; empty unless there is a problem.
    """

    name: str
    state: Literal["ok", "problem", "skipped"]
    detail: str
    advice: str = ""


def ok(name: str, detail: str) -> Finding:
    return Finding(name, "ok", detail)


def problem(name: str, detail: str, advice: str) -> Finding:
    return Finding(name, "problem", detail, advice)


def skipped(name: str, detail: str) -> Finding:
    return Finding(name, "skipped", detail)
