"""What the import contracts cannot see: what really is loaded, through other people's packages too."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["api.app", "cli.main", "cli.up.run", "cli.generate.run", "tasks.queue"])
def test_torch_is_not_loaded(module: str) -> None:
    look = f"import sys, {module}; print(*sorted({{'torch', 'diffusers', 'transformers'}} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
