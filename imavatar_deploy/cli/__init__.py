"""What the commands share: errors as sentences, progress bars, option groups. Needs click and rich."""
