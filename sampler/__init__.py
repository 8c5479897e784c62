"""SRDS in PyTorch: pipelined Parareal sampling of diffusion models, with every iterate a whole image."""

from sampler.denoiser import Model
from sampler.engine import Engine, Progress
from sampler.errors import InvalidCheckpoint, UnsupportedModel
from sampler.grid import Grid, block_edges, ddim_grid, ddpm_grid, doubled, sigma_grid
from sampler.models import load_model
from sampler.parareal import Parareal
from sampler.plan import Plan, choose_blocks, predict, predict_window
from sampler.sample import SamplingFailed, sample
from sampler.solvers import DDIM, DPMSolver, Heun, Solver, Stochastic
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory
from sampler.window import Window

__all__ = [
    "Checkpoint",
    "DDIM",
    "DPMSolver",
    "Engine",
    "Evaluation",
    "Grid",
    "Heun",
    "InvalidCheckpoint",
    "Iterate",
    "Model",
    "Parareal",
    "Plan",
    "Progress",
    "SamplingFailed",
    "Solver",
    "Status",
    "Stochastic",
    "Trajectory",
    "UnsupportedModel",
    "Window",
    "block_edges",
    "choose_blocks",
    "ddim_grid",
    "ddpm_grid",
    "doubled",
    "load_model",
    "predict",
    "predict_window",
    "sample",
    "sigma_grid",
]
