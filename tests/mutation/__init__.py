"""Mutation testing: change one place of the code at random and see whether a test fails (see CONTRIBUTING)."""
