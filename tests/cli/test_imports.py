"""What the import contracts cannot see: what really is loaded, through other people's packages too."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers")


def loaded(module: str) -> set[str]:
    look = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    "module", ["api.app", "cli.main", "cli.bench", "cli.up.run", "cli.generate.run", "tasks.queue", "underpaint"]
)
def test_torch_is_not_loaded(module: str) -> None:
    assert loaded(module) == set()


def test_diffusers_is_not_loaded_before_a_model_is() -> None:
    """By the sampler, its replicas and the worker: it takes seconds."""
    assert loaded("sampler.replicas, tasks.app") == {"torch"}
