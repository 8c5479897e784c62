"""The picture is that of the solver and the guidance that were asked for."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from contract.fields import Generation, RefineRequest
from contract.methods import REFERENCE
from contract.words import Method, Solver
from sampler import load_model
from store import moves
from store.catalog import Catalog, load_catalog
from store.refine import refined
from store.settings import SHIPPED_CATALOG
from tests.sampler.oracle import Request, ours
from tests.sampler.tiny import build, size
from tests.tasks.inside import Reference, Start
from tests.tasks.jobs import Jobs, Pixels

# diffusers' sigma schedules, with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

STEPS = 12
SERIAL: dict[str, Any] = {"steps": STEPS, "method": "serial"}
STOCHASTIC: dict[str, Any] = {"solver": "ddim", "eta": 0.6}
WAYS: list[dict[str, Any]] = [{"solver": name} for name in get_args(Solver)]
WAYS += [STOCHASTIC, {"guidance_rescale": 0.7}]


def distance(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one - other).mean())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_the_picture_is_that_of_the_solver_asked_for(
    jobs: Jobs, process: Start, reference: Reference, way: dict[str, Any]
) -> None:
    job_id = jobs.submit(**SERIAL, **way)
    process().run()
    assert jobs.get(job_id).stopped == "exact"
    _, picture = reference.sample(steps=STEPS, method="serial", **way)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1
    _, usual = reference.sample(steps=STEPS, method="serial")[-1]
    # The shipped model's own solver is ddim.
    assert (distance(jobs.pixels(job_id), usual) < 0.1) == (way == {"solver": "ddim"})


@pytest.mark.parametrize("method", [name for name in get_args(Method) if name != REFERENCE])
@pytest.mark.parametrize("way", [{"solver": "heun"}, {"solver": "dpm++"}, STOCHASTIC], ids=str)
def test_every_method_ends_at_the_picture_of_the_serial_sampler(
    jobs: Jobs, process: Start, reference: Reference, method: str, way: dict[str, Any]
) -> None:
    job_id = jobs.submit(steps=STEPS, method=method, tolerance=0.0, **way)
    process().run()
    assert jobs.get(job_id).stopped == "exact"
    _, picture = reference.sample(steps=STEPS, method="serial", **way)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1


def test_a_draft_is_refined_with_the_same_solver(jobs: Jobs, process: Start, reference: Reference) -> None:
    job_id = jobs.submit(steps=STEPS, tolerance=0.0, max_iterations=1, **STOCHASTIC)
    worker = process()
    worker.run()
    assert jobs.get(job_id).stopped == "max_iterations"
    generation = Generation.model_validate(jobs.get(job_id).generation)
    assert jobs.do(moves.refine(job_id, refined(generation, jobs.images(job_id), RefineRequest()))) is not None
    worker.run()
    assert jobs.get(job_id).stopped == "exact"
    _, picture = reference.sample(steps=STEPS, method="serial", **STOCHASTIC)[-1]
    assert np.abs(jobs.pixels(job_id) - picture).max() <= 1


def test_a_model_that_does_not_take_a_setting_says_so(jobs: Jobs, process: Start, catalog: Catalog) -> None:
    """As when the API did not know yet what kind of model it is."""
    asked = catalog.resolve({"prompt": "red heart", **SERIAL}).model_copy(update={"true_cfg_scale": 2.0})
    job_id = jobs.submit_generation(asked)
    process().run()
    job = jobs.get(job_id)
    assert (job.state, job.failure) == ("failed", "model")
    assert "this model does not take true_cfg_scale" in (job.error or "")


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, Path]:
    """A catalogue of a tiny Flux, and where the model is."""
    folder = tmp_path_factory.mktemp("flux")
    model, (height, width) = build("flux", folder), size("flux")
    shipped = SHIPPED_CATALOG.read_text("utf-8").replace('id = "emoji"', 'id = "flux"')
    shipped = shipped.replace('source = "emoji"', f'source = "{model}"')
    sizes = f"min_size = {min(height, width)}\nmax_size = {max(height, width)}\n"
    shipped = shipped.replace("min_size = 64\nmax_size = 64\n", sizes)
    shipped = shipped.replace("width = 64\nheight = 64\n", f"width = {width}\nheight = {height}\n")
    path = folder / "catalog.toml"
    path.write_text(shipped, "utf-8")
    return load_catalog(path), Path(model)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_true_guidance_of_flux(jobs: Jobs, process: Start, flux: tuple[Catalog, Path], scale: float) -> None:
    catalog, folder = flux
    height, width = size("flux")
    fields = {"prompt": "red heart", "negative_prompt": "pizza", "seed": 3, **SERIAL, "true_cfg_scale": scale}
    job_id = jobs.submit_generation(catalog.resolve({**fields, "solver": "heun"}))
    process(catalog=catalog).run()
    job = jobs.get(job_id)
    assert job.stopped == "exact", job.error

    def expected(scale: float) -> Pixels:
        options = (("true_cfg_scale", scale),)
        asked = Request(height, width, steps=STEPS, solver="heun", options=options)
        model = load_model(folder)
        return model.decode(ours(model, [asked], [1])[0][None])[0].numpy().astype(np.int16)

    assert np.abs(jobs.pixels(job_id) - expected(scale)).max() <= 1
    assert distance(jobs.pixels(job_id), expected(3.5 - scale)) > 0.1
