"""Warm start: fits the networks to the head model's mesh, motion and colours before training."""
