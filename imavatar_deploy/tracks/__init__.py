"""Motions as FLAME parameters: frames and tracks, and the file formats of trackers."""

from imavatar_deploy.tracks.format import TrackFormat
from imavatar_deploy.tracks.formats import TRACK_FORMATS, read_track, write_track
from imavatar_deploy.tracks.track import FlameFrame, FlameTrack, check_edition

__all__ = [
    "TRACK_FORMATS",
    "FlameFrame",
    "FlameTrack",
    "TrackFormat",
    "check_edition",
    "read_track",
    "write_track",
]
