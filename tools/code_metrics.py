"""Metrics of the source tree: file sizes, import circles, duplicate names, a packet's path.

    python tools/code_metrics.py            a table with the target of each measure
    python tools/code_metrics.py --json     the same as JSON, with the names behind each number

Run it from the root of a checkout whose environment has the package installed in editable form.
"""

from __future__ import annotations

import ast
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("training", "exporters", "runtime")
SHORT = 40
LONG_LINE = 100

PACKET = """
import json, socket, sys, threading, time
from pathlib import Path

root, touched, recording = Path(sys.argv[1]), set(), threading.Event()

def profile(frame, event, argument):
    if recording.is_set() and event == "call":
        touched.add(frame.f_code.co_filename)

threading.setprofile(profile)
import numpy as np
from imavatar_deploy.runtime import Player, listen
from imavatar_deploy.runtime.streams import encode

socket_ = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
zeros = np.zeros(50, np.float32)
with Player("sample", size=64) as player, listen(f"udp://127.0.0.1:{port}", player.avatar) as live:
    ask = getattr(live, "pose_at", None) or live.look
    player.render(zeros, np.zeros(15, np.float32))
    start = time.monotonic()
    def send(index):
        pose = np.zeros(15, np.float32)
        pose[6] = 0.01 * index
        seconds = time.monotonic() - start
        packet = encode("openhead", zeros + 0.001 * index, pose, time=seconds, sequence=index)
        socket_.sendto(packet, ("127.0.0.1", port))
    def picture():
        face = ask()
        return player.render(face.expression, face.pose)
    for index in range(60):
        send(index), time.sleep(0.02), picture()
    sys.setprofile(profile)
    recording.set()
    for index in range(60, 70):
        send(index), time.sleep(0.02), picture()
    recording.clear()
    sys.setprofile(None)
files = {Path(name).resolve() for name in touched if not name.startswith("<")}
print(json.dumps(sorted(str(f.relative_to(root)) for f in files if f.is_relative_to(root))))
"""


def sources() -> list[Path]:
    """Return every Python file of the package, relative to the root."""
    folders = (ROOT / folder for folder in ("imavatar_deploy", *ROOMS))
    return sorted(path.relative_to(ROOT) for folder in folders for path in folder.rglob("*.py"))


def module_of(path: Path) -> str:
    """Return the dotted name: `runtime/player.py` -> `imavatar_deploy.runtime.player`."""
    parts = list(path.with_suffix("").parts)
    if parts[0] in ROOMS:
        parts.insert(0, "imavatar_deploy")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, modules: set[str]) -> Iterator[str]:
    """Yield the modules of the package that a file imports, on loading or later."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                if submodule in modules:
                    yield submodule
                elif base in modules:
                    yield base


def circles(files: list[Path]) -> list[list[str]]:
    """Return the sets of modules that import each other.

    They are the strongly connected components of the graph of imports (Tarjan 1972).
    """
    modules = {module_of(path) for path in files}
    graph = {module_of(path): set(imports(path, modules)) - {module_of(path)} for path in files}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                components.append(sorted(component))

    sys.setrecursionlimit(10_000)
    for node in graph:
        if node not in index:
            visit(node)
    return components


def duplicate_classes(files: list[Path]) -> dict[str, list[str]]:
    """Return the public class names that more than one file defines, with the files."""
    places = defaultdict(list)
    for path in files:
        for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path))
    return {name: paths for name, paths in sorted(places.items()) if len(paths) > 1}


def packet_path() -> list[str]:
    """Return the files with a function that runs while a FLAME packet over UDP becomes a frame."""
    command = [sys.executable, "-c", PACKET, str(ROOT)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=ROOT / "tools", check=True
    )
    return list(json.loads(done.stdout.splitlines()[-1]))


def measure() -> dict[str, Any]:
    """Return every metric by name; where names stand behind a number, the names."""
    files = sources()
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in files}
    lengths = {path: len(text.splitlines()) for path, text in texts.items()}
    lines = [line for text in texts.values() for line in text.splitlines()]
    assigned = [
        node
        for text in texts.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assign)
    ]
    layout = [
        a
        for a in assigned
        if isinstance(a.targets[0], ast.Tuple) and isinstance(a.value, ast.Tuple)
    ]
    short = [str(p) for p, n in lengths.items() if n < SHORT and p.name != "__init__.py"]
    examples = sorted((ROOT / "examples").glob("[0-9]*.py"))
    return {
        "files": len(files),
        "median": statistics.median(lengths.values()),
        "short": short,
        "circles": circles(files),
        "long_lines": sum(len(line) > LONG_LINE for line in lines) / len(lines),
        "layout": len(layout) / len(assigned),
        "duplicates": duplicate_classes(files),
        "examples": [path.name for path in examples],
        "packet": packet_path(),
    }


def rows(metrics: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield name, target and value of each metric."""
    yield "source files", "<= 370", str(metrics["files"])
    yield "median lines a file", "95 to 130", f"{metrics['median']:g}"
    yield f"files under {SHORT} lines (without __init__)", "<= 25", str(len(metrics["short"]))
    yield "import circles", "0", str(len(metrics["circles"]))
    yield f"lines over {LONG_LINE} columns", "0", f"{metrics['long_lines']:.1%}"
    yield "assignments `a, b = x, y`", "< 1.5 %", f"{metrics['layout']:.1%}"
    yield "public class names used twice", "0", str(len(metrics["duplicates"]))
    yield "examples", ">= 12", str(len(metrics["examples"]))
    yield "files one FLAME-UDP packet passes", "<= 24", str(len(metrics["packet"]))


def main() -> None:
    """Print the table, or JSON."""
    metrics = measure()
    if "--json" in sys.argv:
        print(json.dumps(metrics, indent=2))
        return
    print("| metric | target | now |\n|---|---|---|")
    for row in rows(metrics):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
