"""From a checkpoint to files: extract the surface, bake every field onto it, write graphs and prove them."""
