"""Fits of a head model to face landmarks: of one frame, and of all frames of a video together."""
