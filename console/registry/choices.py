"""Words of the registry: value and label together, one truth for database, API and pages."""

import re

from django.db import models

NAME_PATTERN = re.compile(r"^[a-z0-9][a-z0-9._-]{0,62}\Z")
ALIAS_PATTERN = re.compile(r"^[\w\-]{1,63}\Z", re.ASCII)
RESERVED_ALIAS = re.compile(r"^(latest|v\d+|\d+)\Z", re.IGNORECASE)  # these already mean a version
STABLE = "stable"  # moved only by serving.services.set_stable_version, together with the traffic


class Format(models.TextChoices):
    SAFETENSORS = "safetensors", "Safetensors"
    ONNX = "onnx", "ONNX"
    PT2 = "pt2", "PyTorch export (.pt2)"
    TORCHSCRIPT = "torchscript", "TorchScript"

    @property
    def runs_code(self) -> bool:
        """Loading such a file runs code that lies in it, so its uploader needs the `native` right."""
        return self in (Format.PT2, Format.TORCHSCRIPT)


class VersionState(models.TextChoices):
    UPLOADED = "uploaded", "Uploaded"
    VALIDATING = "validating", "Validating"
    READY = "ready", "Ready"
    REFUSED = "refused", "Refused"
    ARCHIVED = "archived", "Archived"


class Source(models.TextChoices):
    UPLOAD = "upload", "Uploaded"
    EXPORT = "export", "Exported"
    DEMO = "demo", "Demo"


class UploadState(models.TextChoices):
    RECEIVING = "receiving", "Receiving"
    COMPLETE = "complete", "Complete"
