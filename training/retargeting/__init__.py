"""Fitting maps between head models: from takes seen by two trackers, or from the models' own shapes."""
