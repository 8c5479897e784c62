"""What goes wrong in a way that the person at the prompt can do something about."""


class Explained(Exception):
    """Shown as its message, without a stack trace; the message says what to do."""
