"""The limits of an API key: requests a minute, and queued jobs."""
