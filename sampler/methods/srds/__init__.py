"""SRDS: pipelined Parareal over the blocks of the grid (arXiv 2412.08292)."""
