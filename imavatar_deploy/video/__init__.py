"""Video files: `decode.VideoReader` gives their frames as upright RGB images, one by one."""
