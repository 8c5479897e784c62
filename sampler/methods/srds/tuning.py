"""Tuned constants of SRDS."""

# The secant correction scales the coarse correction by a measured factor within these bounds.
SECANT_LOWEST, SECANT_HIGHEST = 0.2, 1.5

# Convergence, before any was observed: the residual of iterate 1, and each residual over the one before. The shipped
# model with about sqrt(N) blocks.
FIRST_RESIDUAL, CONTRACTION = 0.05, 0.1
# The weight of the newest observation, and the worst contraction that is learned.
LEARNING_RATE = 0.2
WORST_CONTRACTION = 0.9
# The iterates that a plan counts with at the least, since the first residuals of an image vary.
FEWEST_ITERATES = 2
# With tolerance 0, the iterate that a plan is made for: a good picture on the way to the exact image.
SHOWN_ITERATE = 2

# The numbers of blocks that are tried: all up to this one; from there on, each is larger by about this fraction.
EVERY_BLOCK_COUNT = 32

# With tolerance 0 and previews, what SRDS may take of the serial sampler's time.
PREVIEWS_WORTH = 1.05
