"""Tracks: motions of FLAME parameters, read from and written as the files of many trackers.

    from imavatar_deploy.tracks import read_track, retimed, write_track

    track = read_track("output/me/checkpoint")  # a tracker's file or folder, or the word `talk`
    print(len(track), track.fps, track.edition, track.notes)
    print(track.expression.shape, track.pose.shape)  # [T, 50], [T, 15] axis-angle, radians
    write_track(retimed(track.select(slice(100, 400)), 30.0), "me.json")

- Motion: `FlameTrack` has T frames with cameras, frame rate and head-model edition; `FlameFrame` is
  one frame.
- Files: `read_track(path)`, `write_track(track, path)`; `TRACK_FORMATS` has every format by name, a
  `TrackFormat` each; `unread_names(path)` lists what a file holds and a track does not.
- Editing: `FlameTrack.select(slice)`, `retimed(track, fps)`, and `with_head_turned(track, joints)`
  with `root_joints(track, head)` for trackers that move the camera around a fixed head.
- `check_edition` refuses codes of another head model.
"""

from imavatar_deploy.tracks.edit import retimed, root_joints, with_head_turned
from imavatar_deploy.tracks.format import TrackFormat
from imavatar_deploy.tracks.formats import TRACK_FORMATS, read_track, unread_names, write_track
from imavatar_deploy.tracks.track import FlameFrame, FlameTrack, check_edition

__all__ = [
    "TRACK_FORMATS",
    "FlameFrame",
    "FlameTrack",
    "TrackFormat",
    "check_edition",
    "read_track",
    "retimed",
    "root_joints",
    "unread_names",
    "with_head_turned",
    "write_track",
]
