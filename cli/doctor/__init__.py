"""`underpaint doctor`: finds problems, and says what to do about them."""
