"""GLB and VRM: an avatar as other programs read it, in metres, with what such a file cannot do measured; no torch."""
