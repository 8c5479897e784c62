"""`underpaint keys` and `webhook-secret`: who may use the server, and how webhooks are signed."""
