"""The commands about existing jobs, `jobs`, `show`, `cancel`, `accept`, `delete`, and about models."""
