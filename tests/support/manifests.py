"""What the objects of a store say of checkpoints, read with torch and json alone."""

import io
import json
from collections.abc import Mapping
from typing import Any

import torch


def last(objects: Mapping[str, bytes], prefix: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The newest manifest under a prefix, and the states that lie beside it; None where there is none."""
    manifests = {
        key: json.loads(data)
        for key, data in objects.items()
        if key.startswith(f"{prefix}/step-") and key.endswith("/manifest.json")
    }
    if not manifests:
        return None
    folder = max(manifests, key=lambda key: manifests[key]["serial"]).removesuffix("manifest.json")
    states = {
        key.removeprefix(folder): torch.load(io.BytesIO(data), weights_only=True)
        for key, data in objects.items()
        if key.startswith(folder) and key.endswith(".pt")
    }
    return manifests[folder + "manifest.json"], states
