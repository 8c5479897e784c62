"""Parallel-in-time sampling of diffusion models in PyTorch: SRDS and others, whose iterates are whole images."""

from sampler.denoiser import Lora, Model
from sampler.engine import Engine, Progress
from sampler.errors import InvalidCheckpoint, UnsupportedModel
from sampler.grid import Grid, block_edges, ddim_grid, ddpm_grid, doubled, sigma_grid
from sampler.methods import Circumstances, Plan, Stopping
from sampler.methods.collocation.collocation import Collocation
from sampler.methods.serial import Serial
from sampler.methods.srds.parareal import Parareal
from sampler.methods.srds.plan import choose_blocks, predict
from sampler.models import Source, load_model
from sampler.original import Original, Reference, original_from
from sampler.planner import plan
from sampler.sample import SamplingFailed, sample
from sampler.solvers import DDIM, DPMSolver, Heun, Solver, Stochastic
from sampler.trajectory import Checkpoint, Evaluation, Iterate, Status, Trajectory

__all__ = [
    "Checkpoint",
    "Circumstances",
    "Collocation",
    "DDIM",
    "DPMSolver",
    "Engine",
    "Evaluation",
    "Grid",
    "Heun",
    "InvalidCheckpoint",
    "Iterate",
    "Lora",
    "Model",
    "Original",
    "Parareal",
    "Plan",
    "Progress",
    "Reference",
    "SamplingFailed",
    "Serial",
    "Solver",
    "Source",
    "Status",
    "Stochastic",
    "Stopping",
    "Trajectory",
    "UnsupportedModel",
    "block_edges",
    "choose_blocks",
    "ddim_grid",
    "ddpm_grid",
    "doubled",
    "load_model",
    "original_from",
    "plan",
    "predict",
    "sample",
    "sigma_grid",
]
