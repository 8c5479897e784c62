"""What a check has found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        state: ``skipped`` where it could not be looked at, or there was nothing to look at.
        detail: what was found.
        advice: what to do; empty unless it is a problem.
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
