"""Real-time rendering of a baked avatar on the CPU: posing, normals, rasterisation, shading.

Needs numpy and numba, and ONNX Runtime for the full texture network; never torch.
"""
