"""The modules that are really loaded, through third-party packages too, which the import contracts cannot see."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers")
SLOW = ("pydantic", "sqlalchemy", "httpx", "PIL")  # a tenth of a second or more each, for every command and completion


def loaded(module: str, among: tuple[str, ...] = HEAVY) -> set[str]:
    code = f"import sys, {module}; print(*(name for name in {among} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    "module", ["api.app", "cli.main", "cli.bench", "cli.up.run", "cli.generate.run", "tasks.queue", "underpaint"]
)
def test_torch_is_not_loaded(module: str) -> None:
    assert loaded(module) == set()


def test_the_command_starts_quickly() -> None:
    assert loaded("cli.main", SLOW) == set()


def test_diffusers_is_not_loaded_before_a_model_is() -> None:
    """By the sampler, its replicas and the worker: it takes seconds."""
    assert loaded("sampler.replicas, tasks.app") == {"torch"}
