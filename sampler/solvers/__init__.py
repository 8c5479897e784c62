"""Solvers: pure batched maps over one step of the grid, given the network's output at its start."""

from collections.abc import Mapping

from sampler.solvers.base import LinearForm, Prediction, Solver, SolverKind, SolverRequest, predictions
from sampler.solvers.ddim import DDIM, make_ddim, make_euler
from sampler.solvers.dpm import DPMSolver, check_dpm, make_dpm
from sampler.solvers.from_picture import FromPicture, Kept, kept_by
from sampler.solvers.heun import Heun, make_heun
from sampler.solvers.stochastic import Stochastic, make_ddpm
from sampler.solvers.unipc import UniPC, check_unipc, make_unipc

__all__ = [
    "SOLVERS",
    "DDIM",
    "DPMSolver",
    "FromPicture",
    "Heun",
    "Kept",
    "LinearForm",
    "Prediction",
    "Solver",
    "SolverKind",
    "SolverRequest",
    "Stochastic",
    "UniPC",
    "kept_by",
    "predictions",
]

# By the name that a request gives. A new solver is a file and a row here.
SOLVERS: Mapping[str, SolverKind] = {
    "ddim": SolverKind(make_ddim, ("DDIMScheduler", "CogVideoXDDIMScheduler"), flow=False, eta=True),
    "ddpm": SolverKind(make_ddpm, flow=False),
    "euler": SolverKind(make_euler, ("EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")),
    "heun": SolverKind(make_heun, ("HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")),
    "dpm++": SolverKind(make_dpm, ("DPMSolverMultistepScheduler",), check=check_dpm),
    "unipc": SolverKind(make_unipc, ("UniPCMultistepScheduler",), check=check_unipc),
}
