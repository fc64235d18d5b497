"""Training: today the warm start, which fits the networks to a head model's own surface, motion and colours."""
