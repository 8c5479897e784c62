"""The routes: each file one kind of thing, each function one operation."""
