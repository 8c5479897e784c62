"""Callers: API keys, share links and host names. `api.guard` applies them to requests."""
