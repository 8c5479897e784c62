"""Tuned constants of the window."""

# The slope theta = sigma d eps / d x. Before any was measured it is that of Gaussian data of this variance.
VARIANCE = 0.3
# Bounds on a measured theta.
THETA_LOWEST, THETA_HIGHEST = -1.0, 3.0
# The fraction of x0's trend over the latest round that is extrapolated beyond it, without a guide.
TREND = 0.5
# Bounds on the ratio of x0's change to the guide's.
GUIDE_LOWEST, GUIDE_HIGHEST = 0.0, 2.0
# The slope theta by which a preview moves the coarse grid's outputs to the fine sweep's states.
PREVIEW_THETA = 0.6

# The coarse grid is a preview and a source of predictions: an evaluation may lie a tenth of the noise away.
COARSE_TOLERANCE = 0.1
# How much the coarse points crowd towards the image, where their errors are seen most: their index to this power.
CROWDING = 1.5
# Points of the coarse grid for each evaluation that it gets in a round: a wider sweep saves no rounds there.
COARSE_POINTS = 5
# The coarse grid's share of the serial sampler's evaluations, at width 1.
SERIAL_PREVIEW_SHARE = 1 / 30
# From this width on a coarse grid saves as many evaluations as it takes, whether its preview is wanted or not.
GUIDED_WIDTH = 8

# The iterates that show the fine sweep: at most this many, and one for this many steps if decoding delays the image
# (it takes about as long as an evaluation).
SHOWN = 4
STEPS_SHOWN = 24

# The full rounds after which the width is judged.
ROUNDS_JUDGED = 3
# The share of the serial sampler's time that may be lost on a window that does not pay.
LOSS = 0.05

# Rounds beyond N / width: AGAIN (1 + width / sqrt(N)), at most AGAIN_MOST.
AGAIN, AGAIN_MOST = 1.5, 6.0
