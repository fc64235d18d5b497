"""Evaluation of rendered frames against a dataset: metrics, sources of frames and the report."""
