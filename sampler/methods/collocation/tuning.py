"""Tuned constants of collocation. Source, unless it says something else: the shipped model, with DDIM at guidance 3 and
7.5, N = 50 and 100, widths 1, 4 and 16, on seeds that `python -m benchmarks.collocation` does not use."""

# The share of log(alpha / sigma) in the coordinate; the rest is the index. The index alone needs twice the nodes; log
# alone is as good, but brings neighbours near pure noise or near the image arbitrarily close together.
LEVEL_SHARE = 0.7
# alpha of pure noise counts as this, where something is divided by it. Source: a choice.
ALPHA_FLOOR = 0.05

# The polynomial's order between nodes: 2 to 5 differ by less than a tenth in the error.
ORDER = 3
# The share of the trend that is continued beyond the last node. With 1, the first states of strong guidance are three
# times as wrong; 0.35 needs 7 % more rounds at width 4.
TREND = 0.5

# The first nodes: this over the cube root of the tolerance, and at least the other. The error of converged nodes falls
# about as the cube of their number.
FIRST_NODES, FEWEST_NODES = 2.0, 4
# A node is evaluated again at once if its state has moved by more than this many tolerances, relative to the state.
# x2: up to 20 % more evaluations; /2: 5 % fewer, and errors up to a fifth larger.
DISPLACED = 10.0
# A wave holds nothing that counts less than this share of what counts most. 0.35, in the order of the grid, takes as
# many evaluations.
LEAST = 0.05

# The slope of D before any was measured is that of Gaussian data of this variance. 0.1: the same evaluations, and
# larger errors at guidance 7.5.
VARIANCE = 0.03
# Bounds on alpha times a measured slope. Under strong guidance the network answers a displacement by the opposite of
# it, up to three times as large.
SLOPE_LOWEST, SLOPE_HIGHEST = -3.0, 2.0
# How far in log(alpha / sigma) a measured slope counts for other nodes. Source: a choice.
REACH = 1.0

# What slopes leave unexplained of D's change, before it was measured, and the weight of this guess. Measured: 0.3 near
# the image, 1 elsewhere at guidance 3, 1 to 3 at guidance 7.5.
MISS, MISS_WEIGHT = 1.0, 0.2
# The part of the unexplained that reaches the image: network and interpolation dampen it. 0.35 is up to 20 % cheaper,
# and exceeds the tolerance more often.
SEEN = 0.5
# The weight of the newest observation of how far the image moves, over what was estimated. Source: a choice.
LEARNING_RATE = 0.5
# What the estimate is multiplied by, so that the true error hardly exceeds it.
SAFETY = 1.5

# The next iterate is shown once the estimated error is this part of the last one's; the first one below the other.
# Source: 3 to 6 iterates a sample.
SHOWN_EACH, FIRST_SHOWN = 1 / 3, 1.5

# Evaluations at width 1 over the first nodes, and the rounds that wide waves need besides. Source: a fit, for plans.
AGAIN, WAVES = 1.3, 8.0
