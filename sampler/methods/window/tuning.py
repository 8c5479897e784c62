"""Tuned constants of the window. For x2 and /2 see `sampler.tuning`; docs/algorithm.md has the measurements on the
shipped model that the values come from, `python -m benchmarks.window` the figures of today."""

# The slope theta = sigma d eps / d x. Before any was measured it is that of Gaussian data of this variance. Source:
# 75 cases on the shipped model. x2: +0.0 %, +0.1 %, 1.06, 1.00; /2: +0.0 %, -0.2 %, 0.95, 1.00.
VARIANCE = 0.3
# Bounds on a measured theta. Source: the shipped model; bounds of 0 and 1 took 60 instead of 47 evaluations at N =
# 25, width 4, guidance 7.5. Each, x2 and /2: same.
THETA_LOWEST, THETA_HIGHEST = -1.0, 3.0
# The fraction of x0's trend over the latest round that is extrapolated beyond it, without a guide. Source: the
# shipped model, against a full trend. x2: -0.2 %, +1.0 %, 0.76, 1.00; /2: +0.2 %, +0.6 %, 0.95, 1.00.
TREND = 0.5
# The slope theta by which a preview moves the coarse grid's outputs to the fine sweep's states. Source: the shipped
# model, against 0 and 0.3. Previews only, x2: 0.99; /2: 1.10.
PREVIEW_THETA = 0.6

# The coarse grid is a preview and a source of predictions: an evaluation may lie a tenth of the noise away. Source: a
# choice. At N = 100 and 400 (with fewer points no round has two of them), x2: +0.0 %, +0.1 %, 1.00, 1.00; /2: +1.0 %,
# +0.6 %, 0.59, 0.31.
COARSE_TOLERANCE = 0.1
# How much the coarse points crowd towards the image, where their errors are seen most: the power of their index.
# Source: the shipped model. x2: +0.2 %, +1.9 %, 1.11, 1.40; /2: +0.2 %, -0.1 %, 0.99, 1.18.
CROWDING = 1.5
# Points of the coarse grid for each evaluation that it gets in a round: a wider sweep saves no rounds there. Source:
# the shipped model. x2: same; /2: -0.8 %, +3.8 %, 1.11, 1.53.
COARSE_POINTS = 5
# The coarse grid's share of the serial sampler's evaluations, at width 1. Source: a choice. x2 and /2: same, at N =
# 40.
SERIAL_PREVIEW_SHARE = 1 / 30
# From this width on a coarse grid saves as many evaluations as it takes, whether its preview is wanted or not.
# Source: the shipped model at N = 100. x2 and /2: same.
GUIDED_WIDTH = 8

# The iterates that show the fine sweep: at most this many, and one for this many steps if decoding delays the image.
# Source: decoding takes about as long as an evaluation of the shipped model. Previews only.
# Most, x2 and /2: 0.99, 1.01. Steps, x2: same; /2: 0.48.
SHOWN = 4
STEPS_SHOWN = 24

# The full rounds after which the width is judged. Source: a choice.
# x2: +2.6 %, +0.3 %, 0.91, 1.00; /2 (2): -0.6 %, +0.3 %, 0.93, 1.00.
ROUNDS_JUDGED = 3
# The share of the serial sampler's time that may be lost on a window that does not pay. Source: what users may lose
# by `auto`. x2 and /2: same.
LOSS = 0.05

# Rounds beyond N / width: AGAIN (1 + width / sqrt(N)), at most AGAIN_MOST. Source: a fit to the shipped model.
# Again, x2: +11.5 %, +0.0 %, 0.59, 1.00; /2: -3.7 %, +1.2 %, 1.00, 0.78. Most, x2 and /2: same.
AGAIN, AGAIN_MOST = 1.5, 6.0
