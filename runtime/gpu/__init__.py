"""The GPU's renderer: every stage of a frame as Warp kernels, which run on Warp's CPU device, too. Needs warp-lang."""
