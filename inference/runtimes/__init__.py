"""Formats: how each is checked, loaded and run."""

import os

# Since 1.29 onnxruntime reports its use to its makers and keeps a device id on disk, from the moment it is imported.
# What runs here is nobody else's business. Set before any module of this package can import it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
