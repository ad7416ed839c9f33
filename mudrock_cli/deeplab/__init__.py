"""The network: described by a recipe, trained, kept as a folder, run on micrographs."""

import os
import sys

# OpenVINO reports every import to its makers over the network, unasked, from a process that a slow
# network ends by force. Where this package cannot be imported, it reports nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# TensorFlow reads these when it is imported, so they stand before everything that imports it. It
# leaves oneDNN's kernels off on CPUs without AVX-512; a training step takes 1.8 times as long then
# (6.1 for 3.4 CPU seconds, `tests/benchmarks/accuracy/step_time.py`).
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
