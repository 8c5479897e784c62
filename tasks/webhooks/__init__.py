"""Webhooks: deliveries out of the outbox, to the clients' receivers."""
