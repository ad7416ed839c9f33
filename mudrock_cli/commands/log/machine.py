"""What a bug report tells of the software and the hardware."""

import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from mudrock_cli import __version__

_PACKAGES = (
    "dask",
    "distributed",
    "imagecodecs",
    "jax",
    "keras",
    "matplotlib",
    "numpy",
    "opencv-python-headless",
    "openvino",
    "pandas",
    "pillow",
    "pyarrow",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "tensorflow",
    "tifffile",
    "torch",
    "typer",
    "zarr",
)
_SETTINGS = (
    "CUDA_VISIBLE_DEVICES",
    "KERAS_BACKEND",
    "LANG",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


def describe_machine() -> dict[str, Any]:
    """Return versions, settings of the environment, and hardware, JSON-able."""
    from datetime import UTC, datetime

    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "mudrock": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": _find_versions(),
        "environment": {name: os.environ[name] for name in _SETTINGS if name in os.environ},
        "hardware": {
            "cpu": _name_cpu(),
            "cores": os.cpu_count(),
            "usable_cores": _count_usable_cores(),
            "memory_gb": _measure_memory(),
            "gpus": _list_gpus(),
        },
    }


def _find_versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _name_cpu() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return match[1] if match else platform.processor()


def _count_usable_cores() -> int | None:
    """Return the cores that this process may use, which a cluster or container may limit."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count()


def _measure_memory() -> dict[str, float]:
    """Return gigabytes: of the machine, free, and the container's limit, as far as known."""
    found = {}
    text = _read("/proc/meminfo")
    for name, entry in (("total", "MemTotal"), ("free", "MemAvailable")):
        match = re.search(rf"^{entry}:\s*(\d+) kB", text, re.MULTILINE)
        if match:
            found[name] = round(int(match[1]) / 1e6, 1)
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    if limit.isdigit():
        found["limit"] = round(int(limit) / 1e9, 1)
    if not found and sys.platform != "win32":
        found["total"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    return found


def _list_gpus() -> list[str]:
    """Return name, memory and driver of each NVIDIA GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
