"""Tuned constants that the planner and several methods share: costs of rounds, and when a plan is worth its time."""

# Cost of a round, before any was measured: what each further evaluation adds to the first. About that of a small
# network on one CPU core; a device with room for more shows it in its first rounds.
FURTHER_EVALUATION = 0.4
# A width "has room" if its rounds cost at most this much of a round of one evaluation.
ROOM = 1.25
# The median of this many recent rounds counts as the time of a round.
RECENT_ROUNDS = 15

# A parallel plan must be expected to take at most this share of the serial path's time: if it converges badly, it loses
# more than the rest.
WORTHWHILE = 0.85
# With the wish "cost": the evaluations that a plan may take, over the fewest of any plan.
AFFORDABLE = 1.05

# The coarse grid of the first preview, if its evaluations delay the image: at most this share of the serial
# sampler's evaluations, and no coarse grid in fewer blocks than these.
PREVIEW_SHARE = 1 / 15
FEWEST_BLOCKS = 4
