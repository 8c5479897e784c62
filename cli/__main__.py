"""`python -m cli`: the way in for child processes, which need no installed script."""

from cli.main import app

app()
