"""Bake a motion: the frames of a baked avatar in the file formats of other programs."""
