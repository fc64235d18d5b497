"""Motion: observations that come late, twice, in disorder or not at all -> a smooth pose at any moment."""
