"""GLB and VRM 1.0: skin, morph targets, colours and clips, with a reader that checks the files.

The writers and the reader run without torch.
"""
