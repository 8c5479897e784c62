"""`underpaint keys`: who may use the server."""
