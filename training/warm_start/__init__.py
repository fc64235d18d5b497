"""The warm start: networks fitted to the head model's own mesh, motion and colours before training."""
