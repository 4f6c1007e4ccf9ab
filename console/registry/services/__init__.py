"""What can be done to models, versions, aliases and uploads: one function an action, called by pages, API, commands."""

from console.registry.services.aliases import delete_alias, set_alias
from console.registry.services.models import create_model, update_model
from console.registry.services.uploads import (
    MAX_CHUNK_BYTES,
    append_chunk,
    cancel_upload,
    check_whole,
    complete_upload,
    create_upload,
    expire_uploads,
    make_version,
)
from console.registry.services.validation import validate_upload
from console.registry.services.versions import (
    add_version,
    archive_version,
    delete_version,
    restore_version,
    sweep_store,
    update_notes,
)

__all__ = [
    "MAX_CHUNK_BYTES",
    "add_version",
    "append_chunk",
    "archive_version",
    "cancel_upload",
    "check_whole",
    "complete_upload",
    "create_model",
    "create_upload",
    "delete_alias",
    "delete_version",
    "expire_uploads",
    "make_version",
    "restore_version",
    "set_alias",
    "sweep_store",
    "update_model",
    "update_notes",
    "validate_upload",
]
