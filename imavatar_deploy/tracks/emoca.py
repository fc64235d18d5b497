"""EMOCA's code dictionaries.

`expcode [50]`, `posecode [6]` (global, jaw), `shapecode [100]`: what its model returns. Its demos' folders are spelt as
DECA's.
"""

from __future__ import annotations

from imavatar_deploy.tracks.codes import Spelling, codes_format

FORMAT = codes_format(
    "emoca",
    "EMOCA's codes: expcode, posecode, shapecode",
    Spelling("expcode", "posecode", "shapecode"),
)
