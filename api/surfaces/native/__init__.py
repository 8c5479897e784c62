"""Underpaint's own API: `/v1/jobs`."""
