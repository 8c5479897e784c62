"""Trains the model that ships with the project (``models/emoji``); see the card there for how to run it."""
