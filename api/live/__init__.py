"""How clients follow a job while it runs: subscriptions, shared queries, tails and server-sent events."""
