"""What can be done to what serves: one function an action, called by pages, API and commands."""

from console.serving.services.archival import archive_model, delete_demo_models, restore_model
from console.serving.services.cache import set_cache_policy
from console.serving.services.handover import settle_handovers
from console.serving.services.live import keep_loaded, release_version
from console.serving.services.playground import InferAnswer, infer
from console.serving.services.traffic import TrafficChange, set_stable_version, set_traffic

__all__ = [
    "InferAnswer",
    "TrafficChange",
    "archive_model",
    "delete_demo_models",
    "infer",
    "keep_loaded",
    "release_version",
    "restore_model",
    "set_cache_policy",
    "set_stable_version",
    "set_traffic",
    "settle_handovers",
]
