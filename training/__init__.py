"""Training: datasets, the warm start, losses and the loop that learns an avatar from images, and its evaluation."""
