"""Tuned constants of SRDS. For x2 and /2 see `sampler.tuning`."""

# The secant correction scales the coarse correction by a measured factor within these bounds. Source: they keep it
# stable under strong guidance (`python -m benchmarks.convergence`).
# Lowest, x2 and /2: below 0.1 %, 1.00, 1.00. Highest, x2: +0.0 %, +0.0 %, 1.00, 1.00; /2: +0.0 %, +0.0 %, 1.11, 0.93.
SECANT_LOWEST, SECANT_HIGHEST = 0.2, 1.5

# The estimated error of iterate 1 over its residual to the power 1.5. Source: 704 trajectories on the shipped model and
# trees of modes, with other seeds than `python -m benchmarks.estimates`, at six tolerances from 1e-3 to 2e-2: 0.19 %
# end beyond three times their tolerance, after 2.88 iterates on the mean. x2: 0.09 %, 2.92; /2: 0.36 %, 2.80.
FIRST_ERROR = 1.6
# The smallest estimate of an iterate that is not exact: float32 rounds. Source: the accuracy of the exact image
# (`python -m benchmarks.exactness`). It matters for tolerances below it alone.
LEAST_ERROR = 1e-6
# An iterate is held back only if its residual is at least this part of the one before: if iterates converge faster, a
# higher estimate than that of the iterate before means that the earlier one was too low. Source: 27 of 1054 iterates at
# guidance 7.5 and 15 were worse than the one before, 13 of them by more than a fifth; 15 and 3 are left, and 20 better
# ones are held back too. x2: 27 and 13 are left; /2: 15 and 3, and 40 better ones are held back.
SLOW_CONVERGENCE = 0.7

# Convergence, before any was observed: the residual of iterate 1, and each residual over the one before. Source: the
# shipped model with about sqrt(N) blocks (`python -m benchmarks.convergence`).
# Each, x2: -3.5 %, +2.2 %, 1.33, 0.97; /2: same.
FIRST_RESIDUAL, CONTRACTION = 0.05, 0.1
# The weight of the newest observation: one image that converges badly changes little, and 30 images make what was seen
# before forgotten. The worst contraction that is learned keeps the expectation finite. Source: choices, for
# tests/sampler/test_convergence.py. Each, from 0 to 1: same. The set does not show them: `auto` uses what was learned
# for drafts alone.
LEARNING_RATE = 0.2
WORST_CONTRACTION = 0.9
# The iterate that `auto` plans for at least, since the first residuals of an image vary, and the one that a plan with
# tolerance 0 is made for. Source: iterate 2 is a good picture on the shipped model.
# x2: +0.0 %, +2.4 %, 1.00, 0.81; /2: +0.0 %, +9.8 %, 1.00, 0.62.
FEWEST_ITERATES = 2

# The numbers of blocks that are tried: all up to this one; from there on, each is larger by about this fraction.
# Source: the time of planning (at N = 1000 and width 16, 0.3 s instead of 0.8 s for all numbers) against at most 3 %
# more rounds (tests/sampler/test_plan.py). x2 and /2: same, since the set has 40 steps.
EVERY_BLOCK_COUNT = 32

# With tolerance 0 and previews, what SRDS may take of the serial sampler's time. Source: a choice.
# x2: +0.0 %, +17 %, 1.00, 0.45 (more samples are SRDS); /2: same.
PREVIEWS_WORTH = 1.05
