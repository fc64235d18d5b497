"""GLB and VRM 1.0: skin, morph targets, colours, clips; read back and compared. Needs no torch."""
