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
# about as the cube of their number. 2.5: as many evaluations at guidance 3, a tenth to a half more at 7.5 and width 1;
# 3.5: a tenth more at guidance 3.
FIRST_NODES, FEWEST_NODES = 3.0, 4
# A node is evaluated again at once if its state has moved by more than this many tolerances, relative to the state.
# 10: half as many evaluations again; 1: up to twice as many at guidance 7.5 and width 1.
DISPLACED = 2.0
# A wave holds nothing that counts less than this share of what counts most. 0.05: a fifth more evaluations at width 16,
# and errors a tenth smaller.
LEAST = 0.2
# After this share of N waves, all points become nodes. 0.6: a quarter more evaluations at guidance 7.5, N = 50 and
# width 1; a tenth fewer at guidance 15, N = 28.
PATIENCE = 0.75

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
# The part of the unexplained that reaches the image: network and interpolation dampen it. 0.5 with a SAFETY of 4: the
# same evaluations and errors.
SEEN = 0.35
# What the estimate is multiplied by, so that the true error is within it in 95 % of the runs, and within three times it
# in 99 %. The median of true over estimated error is then 0.3.
SAFETY = 5.0

# The next iterate is shown once the estimated error is this part of the last one's; the first one below the other.
# Source: 3 to 6 iterates a sample.
SHOWN_EACH, FIRST_SHOWN = 1 / 3, 1.5

# Evaluations at width 1 over the first nodes, by guidance scale: AGAIN + AGAIN_GUIDED g, and at least 1. Collocation
# pays if that, without guidance, is below N. Rounds over these: SEQUENTIAL however wide the waves. A wave uses at most
# the other share of the first nodes. Source: a fit, for plans.
AGAIN, AGAIN_GUIDED, SEQUENTIAL, USEFUL_WIDTH = 0.4, 0.2, 0.37, 0.65
