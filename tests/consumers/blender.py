"""Run in an interpreter with bpy: import a file and store its mesh in some frames.

python blender.py FILE FPS FRAMES OUT: FRAMES are comma-separated, OUT is an .npz.
"""

import sys
from pathlib import Path

import bpy
import numpy as np

IMPORTS = {
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".usd": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".usdz": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".abc": lambda path: bpy.ops.wm.alembic_import(filepath=path),
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".fbx": lambda path: bpy.ops.import_scene.fbx(filepath=path),
}


def main(path: str, fps: str, frames: str, out: str) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = int(fps)
    IMPORTS[Path(path).suffix](path)
    head = max(
        (item for item in scene.objects if item.type == "MESH"),
        key=lambda item: len(item.data.vertices),
    )
    arrays = {f"frame_{frame}": at_frame(scene, head, int(frame)) for frame in frames.split(",")}
    colours = head.data.color_attributes
    arrays["colour_names"] = np.array([colour.name for colour in colours], dtype="U64")
    if colours:
        arrays["colours"] = vertex_colours(head.data, colours[0])
    materials = [slot.material for slot in head.material_slots if slot.material]
    arrays["base_colours"] = np.array(sorted(set(map(base_colour, materials))), dtype="U64")
    keys = head.data.shape_keys
    arrays["shapes"] = np.array([key.name for key in keys.key_blocks] if keys else [], dtype="U64")
    armatures = [item.data for item in scene.objects if item.type == "ARMATURE"]
    roots = [bone.name for data in armatures for bone in data.bones if bone.parent is None]
    arrays["roots"] = np.array(roots, dtype="U64")
    np.savez(out, **arrays)


def vertex_colours(mesh: bpy.types.Mesh, attribute: bpy.types.Attribute) -> np.ndarray:
    """Colours of the vertices, linear light."""
    rgba = np.zeros(4 * len(attribute.data), dtype=np.float32)
    attribute.data.foreach_get("color", rgba)
    rgb = rgba.reshape(-1, 4)[:, :3]
    if attribute.domain == "POINT":
        return rgb
    corners = np.zeros(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    colours = np.zeros((len(mesh.vertices), 3), dtype=np.float32)
    colours[corners] = rgb
    return colours


def at_frame(scene: bpy.types.Scene, head: bpy.types.Object, frame: int) -> np.ndarray:
    """Vertices in world space with +Y up, metres."""
    scene.frame_set(frame)
    evaluated = head.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    flat = np.zeros(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", flat)
    world = np.array(evaluated.matrix_world)
    x, y, z = (flat.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]).T
    evaluated.to_mesh_clear()
    return np.stack([x, z, -y], axis=1)


def base_colour(material: bpy.types.Material) -> str:
    """What the base colour of a material comes from: the type of the node, and its attribute."""
    if not material.node_tree:
        return "none"
    for node in material.node_tree.nodes:
        for name in ("Base Color", "Color"):
            if node.type in ("BSDF_PRINCIPLED", "EMISSION", "BACKGROUND") and name in node.inputs:
                links = node.inputs[name].links
                if links:
                    source = links[0].from_node
                    return f"{source.type} {getattr(source, 'attribute_name', '')}".strip()
    return "constant"


main(*sys.argv[1:])
