"""Drawing (numba): the rasteriser, and the threads it shares with every other kernel of a process."""
