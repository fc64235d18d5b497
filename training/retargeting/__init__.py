"""Fitting of expression maps, from recordings of two trackers or from the shapes of two models."""
