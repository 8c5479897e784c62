"""The sampling methods: a file or folder each, and a row in this table."""

from collections.abc import Mapping

from sampler.methods.base import Candidate, Circumstances, Method, Plan, Stopping, Wish
from sampler.methods.collocation.method import CollocationMethod
from sampler.methods.serial import SerialMethod
from sampler.methods.srds.method import SRDSMethod

__all__ = ["METHODS", "Candidate", "Circumstances", "Method", "Plan", "Stopping", "Wish", "new_methods"]

# Of candidates that `auto` finds equal, the earlier method's wins.
METHODS: Mapping[str, type[Method]] = {
    SerialMethod.name: SerialMethod,
    CollocationMethod.name: CollocationMethod,
    SRDSMethod.name: SRDSMethod,
}


def new_methods() -> dict[str, Method]:
    """All methods, by name, none of which has learned anything yet: one set for each engine."""
    return {name: method() for name, method in METHODS.items()}
