"""`python -m underpaint_command MODULE ARGUMENTS`: runs a module, such as `cli` or `celery`."""

import sys
from runpy import run_module

from underpaint_command import prefer_ours

prefer_ours()
del sys.argv[0]
run_module(sys.argv[0], run_name="__main__", alter_sys=True)
