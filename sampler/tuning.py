"""Tuned constants that the planner and several methods share: costs of rounds, and when a plan is worth its time.

Behind x2 and /2 is what doubling and halving a constant does over the small set of `python -m benchmarks.tuning`:
rounds, evaluations, and the ratio of the image's error and of the previews' errors; "same" if no sample changes. Of a
ratio near 1, its distance from 1 is scaled.
"""

# Cost of a round, before any was measured: what each further evaluation adds to the first. Source: a choice, low enough
# for `auto` to plan rounds of two, which are then measured. It counts only for the first images of an engine, until
# rounds of two widths were measured.
FURTHER_EVALUATION = 0.3
# A width "has room" if its rounds cost at most this much of a round of one evaluation. Source: a choice.
# x2: +6.6 %, -0.3 %, 0.69, 0.60; /2: +0.3 %, -0.9 %, 0.98, 1.00.
ROOM = 1.25
# The median of this many recent rounds counts as the time of a round. Source: a choice; counts do not show it.
RECENT_ROUNDS = 15

# A parallel plan must be expected to take at most this share of the serial path's time: if it converges badly, it
# loses more than the rest. Source: the worst cases of `python -m benchmarks.planner`.
# x2: +49 %, -0.7 %, 0.07 (more samples are serial), 1.00; /2: same.
WORTHWHILE = 0.85
# With the wish "cost": the evaluations that a plan may take, over the fewest of any plan. Source: a choice.
# x2: -1.6 %, +0.1 %, 1.02, 1.00; /2: +5.1 %, +0.0 %, 0.71, 1.00.
AFFORDABLE = 1.05

# The iterates before the image that cost no evaluation, but a decoding each: at most this many, and one for this many
# steps. Source: decoding takes about as long as an evaluation of the shipped model, and may take a twentieth of the
# time.
SHOWN, STEPS_SHOWN = 4, 20

# The coarse grid of the first preview, if its evaluations delay the image: at most this share of the serial sampler's
# evaluations, and no coarse grid in fewer blocks than these. Source: previews against delay on the shipped model.
# Share, x2: +8.8 %, +0.9 %, 0.63, 0.44; /2: same. Blocks, x2: +1.1 %, +0.4 %, 1.00, 0.80; /2: +6.6 %, -0.3 %, 0.70,
# 0.54.
PREVIEW_SHARE = 1 / 15
FEWEST_BLOCKS = 4

# Rounds for which a set of LoRA keeps its turn while trajectories of another wait. Source: a choice; to switch takes
# 6 to 22 % of a call of the shipped model (CPU time, `python -m benchmarks.loras`).
LORA_ROUNDS = 4
