"""ASGI middleware: what happens to every request, whichever surface it is for. `api.app` puts it in order."""
