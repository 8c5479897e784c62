"""`python -m cli`: how `up` starts its child processes, which need no installed script."""

from cli.main import app

app()
