"""Waterfall: what every hop from the implicit render to the student loses, judged before an avatar is written."""
