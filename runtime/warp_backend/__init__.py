"""Rendering with Warp: every stage of a frame as a kernel, on a GPU or on Warp's CPU device."""
