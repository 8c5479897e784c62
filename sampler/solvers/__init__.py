"""Solvers: pure batched maps over one step of the grid, given the network's output at its start."""

from sampler.solvers.base import Prediction, Solver, predictions
from sampler.solvers.ddim import DDIM
from sampler.solvers.dpm import DPMSolver
from sampler.solvers.heun import Heun
from sampler.solvers.stochastic import Stochastic

__all__ = ["DDIM", "DPMSolver", "Heun", "Prediction", "Solver", "Stochastic", "predictions"]
