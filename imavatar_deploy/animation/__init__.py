"""Animation: a baked avatar posed, its normals and its colours, for every room that plays it; numpy and numba."""
