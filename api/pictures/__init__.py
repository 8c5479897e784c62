"""Pictures: finding them, and sending them in the format that the client accepts."""
