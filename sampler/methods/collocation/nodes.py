"""The linear algebra of collocation: scalars in float64 on the CPU, one for each node, whatever the image's size.

The serial sampler's states are linear in the images D that the network predicts at the grid points
(`sampler.solvers.LinearForm`):

    x[i] = phi[i] x[0] + sum over j < i of psi[i, j] D[j]  (+ noise[i]).

If D is interpolated between the nodes, D[j] = sum over m of W[j, m] D[m], every state is a combination of the tensors
D[m] alone. Node m was evaluated at y[m]. To its state now, z[m], its image is carried on by a scalar slope:
D(z) = D[m] + s[m] (z - y[m]). With G = (psi W) at the nodes, the displacements d = z - y solve

    (I - G s) d = phi x[0] + G D - y.

That is Newton's method on the collocation equations, with a scalar for each node in place of the network's Jacobian.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sampler.grid import Grid
from sampler.methods.collocation import tuning
from sampler.solvers import LinearForm

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Response:
    """The serial sampler's states as a linear map.

    Attributes:
        phi: (n + 1,), of the state at point 0.
        psi: (n + 1, n), of the predicted images.
    """

    phi: Array
    psi: Array


def response(form: LinearForm) -> Response:
    """The response of a solver's fine steps, one after the other."""
    keep, gain, before = (each.numpy() for each in (form.keep, form.gain, form.before))
    steps = len(keep)
    phi, psi = np.ones(steps + 1), np.zeros((steps + 1, steps))
    for i in range(steps):
        phi[i + 1] = keep[i] * phi[i]
        psi[i + 1] = keep[i] * psi[i]
        psi[i + 1, i] += gain[i]
        if i:
            psi[i + 1, i - 1] += before[i]
    return Response(phi, psi)


def coordinate(grid: Grid) -> Array:
    """(n,) The variable of interpolation at points 0 .. N-1, from 0 to 1 and rising.

    A blend of log(alpha / sigma), in which D is smooth, and of the index, which keeps neighbours apart.
    """
    index = np.linspace(0, 1, grid.steps)
    if grid.steps < 3:
        return index
    with np.errstate(divide="ignore"):
        level = np.log(grid.alpha.numpy() / grid.sigma.numpy())
    if not np.isfinite(level[0]):  # pure noise
        level[0] = 2 * level[1] - level[2]
    level = (level - level[0]) / (level[-1] - level[0])
    return tuning.LEVEL_SHARE * level + (1 - tuning.LEVEL_SHARE) * index


def spread(at: Array, number: int) -> list[int]:
    """At most `number` grid points, the first and the last among them, about equidistant in the coordinate `at`."""
    return sorted({int(np.abs(at - value).argmin()) for value in np.linspace(0, 1, number)})


def interpolation(at: Array, nodes: Indices, order: int, trend: float) -> Array:
    """(n, m) W: the weights of the nodes' images at every grid point.

    Between two nodes it is the polynomial through the `order` + 1 nearest nodes. Beyond the last one, `trend` times the
    line through the last two is continued for as far as they are apart, and is constant from there on.

    Args:
        at: (n,) the coordinate of the grid points.
        nodes: (m,) grid points, rising.
    """
    points, count = np.arange(len(at)), len(nodes)
    size = min(order + 1, count)
    first = np.clip(np.searchsorted(nodes, points, side="right") - (size + 1) // 2, 0, count - size)
    near = first[:, None] + np.arange(size)
    x = at[nodes][near]
    weights = np.zeros((len(at), count))
    for a in range(size):
        others = [b for b in range(size) if b != a]
        value = np.prod((at[:, None] - x[:, others]) / (x[:, [a]] - x[:, others]), axis=1)
        weights[points, near[:, a]] = value
    beyond = points > nodes[-1]
    weights[beyond] = 0
    weights[beyond, -1] = 1
    if count > 1:
        gap = at[nodes[-1]] - at[nodes[-2]]
        further = trend * np.minimum(at[beyond] - at[nodes[-1]], gap) / gap
        weights[beyond, -1] += further
        weights[beyond, -2] -= further
    return weights


def uncertain(at: Array, nodes: Indices, weights: Array) -> Array:
    """(n, m) The estimated error of `interpolation`, as weights of the nodes' images.

    Between nodes it is the difference from the polynomial of one order less. Beyond the last node it is the whole
    trend; with one node, the image itself.
    """
    if len(nodes) == 1:
        return weights
    error = weights - interpolation(at, nodes, tuning.ORDER - 1, 0.0)
    beyond = np.arange(len(at)) > nodes[-1]
    trend = (at[beyond] - at[nodes[-1]]) / (at[nodes[-1]] - at[nodes[-2]])
    error[beyond] = 0
    error[beyond, -1], error[beyond, -2] = trend, -trend
    return error


@dataclass(frozen=True, slots=True)
class System:
    """The solved system. Rows combine the m nodes' D or y.

    Attributes:
        displaced: (m, 1 + 2 m) the displacements d, from x[0], the images D and the states y, in this order.
        images: (m, 1 + 2 m) the images at the nodes' states now, D + s d.
        weights: (n, m) W.
    """

    displaced: Array
    images: Array
    weights: Array


def solve(known: Response, nodes: Indices, weights: Array, slopes: Array) -> System:
    """Solve for the displacements.

    Args:
        known: the solver's response.
        nodes: (m,) grid points.
        weights: (n, m) W.
        slopes: (m,) s.
    """
    count = len(nodes)
    onto = known.psi[nodes] @ weights
    residual = np.hstack([known.phi[nodes, None], onto, -np.eye(count)])
    displaced = np.linalg.solve(np.eye(count) - onto * slopes, residual).astype(np.float64)
    images = slopes[:, None] * displaced
    images[:, 1 : count + 1] += np.eye(count)
    return System(displaced, images, weights)


def states(known: Response, system: System, points: Indices) -> Array:
    """(p, 1 + 2 m) The states at `points`, which combine x[0], D and y; without noise."""
    rows = known.psi[points] @ system.weights @ system.images
    rows[:, 0] += known.phi[points]
    return rows


def influence(known: Response, nodes: Indices, weights: Array, slopes: Array) -> Array:
    """(n,) What an error of D at each grid point does to the image, if the network answers with `slopes` (m,)."""
    onto, last = known.psi[nodes] @ weights, known.psi[-1] @ weights
    transposed, column = (np.eye(len(nodes)) - onto * slopes).T, np.vstack([last * slopes]).T
    answer = np.linalg.solve(transposed, column).astype(np.float64)[:, 0]
    return known.psi[-1] + answer @ known.psi[nodes]
