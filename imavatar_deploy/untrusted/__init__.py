"""Safe readers of untrusted files: pickles, `.npz` and torch archives as data; no code runs."""
