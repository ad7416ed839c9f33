"""The network: described by a recipe, trained, kept as a folder, run on micrographs."""

import sys

# OpenVINO reports every import to its makers over the network, unasked, from a process that a slow
# network ends by force. Where this package cannot be imported, it reports nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
