"""Models and optimizers that are spread over ranks (FSDP2, tensor parallelism), by torch.distributed.checkpoint.

Each rank writes its own pieces, and reads what it needs of all of them, whatever the number of ranks is now. A sharded
checkpoint can be restored into a model that is not sharded, and on one process.
"""

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint import state_dict as by_name
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.state_dict_loader import load as load_pieces
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.checkpoint.state_dict_saver import save as save_pieces

from shardline.checkpoint.backend import Pending, Place
from shardline.checkpoint.module_names import sharded
from shardline.checkpoint.parts import Part
from shardline.errors import CheckpointError, ShardlineValueError

FOLDER = "sharded"
"""Where the pieces lie in a checkpoint."""
_METADATA = ".metadata"
_SAFE = {
    "builtins": {"dict", "list", "set", "tuple", "frozenset"},
    "collections": {"OrderedDict"},
    "pathlib": {"Path", "PosixPath", "PurePosixPath"},
    "pathlib._local": {"Path", "PosixPath", "PurePosixPath"},
    "torch": {"Size", "device", "dtype", "layout", "memory_format"},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo", "StorageMeta"},
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
}


class _Unpickler(pickle.Unpickler):
    """Makes nothing but what the metadata of a checkpoint is made of."""

    def find_class(self, module: str, name: str) -> Any:
        import torch

        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if name not in _SAFE.get(module, ()):
            raise pickle.UnpicklingError(f"{module}.{name} has no place in the metadata of a checkpoint")
        return super().find_class(module, name)


class SafeReader(FileSystemReader):
    """torch's, which reads the metadata by pickle, made safe."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Without anything that pickle could run."""
        with self.fs.create_stream(self.fs.concat_path(self.path, _METADATA), "rb") as file:
            try:
                metadata = _Unpickler(io.BytesIO(file.read())).load()
            except (pickle.UnpicklingError, EOFError, AttributeError) as error:
                raise CheckpointError(f"{self.path}/{_METADATA} cannot be loaded: {error}") from error
        assert isinstance(metadata, Metadata)
        metadata.storage_meta = metadata.storage_meta or StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


def spread(parts: dict[str, Part]) -> dict[str, Part]:
    """Those that are sharded."""
    found = {}
    for name, part in parts.items():
        if part.is_model:
            tensors = [*part.target.parameters(), *part.target.buffers()]
        elif part.is_optimizer:
            tensors = [p for group in part.target.param_groups for p in group["params"]]
        else:
            continue
        if any(map(sharded, tensors)):
            found[name] = part
    return found


def states(chosen: dict[str, Part], parts: dict[str, Part]) -> dict[str, Any]:
    """Their states by the parameters' names, as torch.distributed.checkpoint wants them."""
    return {
        name: by_name.get_model_state_dict(part.target)
        if part.is_model
        else by_name.get_optimizer_state_dict(_model_of(part, parts), part.target)
        for name, part in chosen.items()
    }


def save(states: dict[str, Any], pending: Pending, group: Any) -> None:
    """Every rank's pieces."""
    save_pieces(states, storage_writer=pending.pieces_writer(), process_group=group)


def begin_to_save(states: dict[str, Any], pending: Pending, group: Any) -> Any:
    """The same in the background, from copies: a future. `group`: one of its own, by gloo."""
    return async_save(states, storage_writer=pending.pieces_writer(), process_group=group)


def written_by(folder: Path, rank: int) -> list[str]:
    """The files that this rank wrote, as a checkpoint's manifest names them."""
    mine = [path.name for path in (folder / FOLDER).glob(f"__{rank}_*")] if (folder / FOLDER).is_dir() else []
    return [f"{FOLDER}/{name}" for name in sorted([*mine, *([_METADATA] if rank == 0 else [])])]


def load(
    chosen: dict[str, Part], parts: dict[str, Part], reader: SafeReader, place: Place, group: Any, *, strict: bool
) -> None:
    """Puts them back, sharded as they are now."""
    now = states(chosen, parts)
    alone = not (dist.is_available() and dist.is_initialized())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # one process: as it is meant
            load_pieces(now, storage_reader=reader, process_group=group, no_dist=alone)
        for name, part in chosen.items():
            if part.is_model:
                options = by_name.StateDictOptions(strict=strict)
                by_name.set_model_state_dict(part.target, now[name], options=options)
            else:
                by_name.set_optimizer_state_dict(_model_of(part, parts), part.target, now[name])
    except (RuntimeError, ValueError, KeyError, CheckpointException) as error:
        raise CheckpointError(f"{', '.join(chosen)} of {place} does not fit: {error}") from error


def _model_of(optimizer: Part, parts: dict[str, Part]) -> nn.Module:
    """The model whose parameters an optimizer has: their names are its."""
    wanted = {id(p) for group in optimizer.target.param_groups for p in group["params"]}
    for part in parts.values():
        if part.is_model and wanted <= {id(p) for p in part.target.parameters()}:
            model: nn.Module = part.target
            return model
    raise ShardlineValueError(
        f"{optimizer.name} is sharded, and its parameters are of none of the models that were given: give the model too"
    )


def load_full(model: Part, state: Any, *, strict: bool) -> str:
    """A whole state into a sharded model; says what was left out, with strict=False."""
    options = by_name.StateDictOptions(full_state_dict=True, strict=strict)
    try:
        keys = by_name.set_model_state_dict(model.target, dict(state), options=options)
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{model.name} does not fit: {error}") from error
    return model.left_out(keys)
