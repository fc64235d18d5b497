"""Readers of files from strangers: pickles, .npz and torch archives as data, without running anything."""
