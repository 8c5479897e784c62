"""The routes: one kind of resource a file, one operation a function."""
