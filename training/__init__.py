"""Training of head avatars from images: datasets, warm start, losses, trainer and evaluation."""
