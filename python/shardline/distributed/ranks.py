"""Which rank this process is, of how many, and whom it can talk to.

The order: as given; those of a mesh or a process group; of the default process group; else 0 of 1.

>>> find_ranks(1, 2)
Ranks(rank=1, num_ranks=2, listing=(), members=(), by_default=False)
"""

import os
from typing import Any, NamedTuple

import torch.distributed as dist

from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options.validate import MAX_ROWS, check_int


class Ranks(NamedTuple):
    """Rank `rank` of `num_ranks` data-parallel ones."""

    rank: int
    num_ranks: int
    listing: tuple[int, ...]
    """The processes, by global rank, that share one listing; the first makes it. Empty: this one asks nobody."""
    members: tuple[int, ...]
    """Those of them that are these ranks, in their order. Empty as well."""
    by_default: bool = False
    """Whether nothing said what the ranks are, so that this is rank 0 of 1."""


def find_ranks(rank: Any = None, num_ranks: Any = None, mesh: Any = None, process_group: Any = None) -> Ranks:
    """The ranks, in the order above; ShardlineValueError or ShardlineTypeError where they cannot be known."""
    if (rank is None) != (num_ranks is None):
        raise ShardlineValueError("rank and num_ranks belong together: give both or neither")
    if num_ranks is not None:
        ranks = check_int("num_ranks", num_ranks, 1, MAX_ROWS)
        return Ranks(check_int("rank", rank, 0, ranks - 1), ranks, (), ())
    if mesh is not None and process_group is not None:
        raise ShardlineValueError("mesh and process_group both say what the ranks are: give one of them")
    if mesh is not None:
        return _of_mesh(mesh)
    if process_group is not None or (dist.is_available() and dist.is_initialized()):
        return _of_group(process_group)
    world = os.environ.get("WORLD_SIZE", "1")
    if world.isdigit() and int(world) > 1:
        raise ShardlineValueError(
            f"WORLD_SIZE={world} says that this is one process of several, but no process group was made yet and no "
            "ranks were given, so that every rank would get every row: call torch.distributed.init_process_group() "
            "first, or give rank= and num_ranks= (0 and 1 if every rank shall indeed read everything)"
        )
    return Ranks(0, 1, (), (), by_default=True)


def _of_mesh(mesh: Any) -> Ranks:
    """The ranks along a mesh of one dimension. Those of the mesh that it was cut from share the listing.

    So processes that get the same batches (of one tensor-parallel group) cannot see two listings, or draw two seeds.
    """
    for name in ("ndim", "size", "get_local_rank", "get_coordinate", "mesh"):
        if not hasattr(mesh, name):
            raise ShardlineTypeError(f"mesh must be a torch.distributed.device_mesh.DeviceMesh, not {mesh!r}")
    if mesh.ndim != 1:
        names = mesh.mesh_dim_names or ()
        first = names[0] if names else "dp"
        raise ShardlineValueError(
            f"mesh has {mesh.ndim} dimensions ({', '.join(names) or 'without names'}), and the ranks lie along one: "
            f'give the one that the data is divided over, as in mesh["{first}"], or, where it is divided over several, '
            "these flattened, as in mesh[names]._flatten()"
        )
    if mesh.get_coordinate() is None:
        raise ShardlineValueError("this process is not in the mesh: build the loader on its processes only")
    whole = mesh._get_root_mesh() if hasattr(mesh, "_get_root_mesh") else mesh
    return _talking(int(mesh.get_local_rank()), int(mesh.size()), _processes(whole), _processes(mesh))


def _processes(mesh: Any) -> tuple[int, ...]:
    return tuple(int(process) for process in mesh.mesh.flatten().tolist())


def _of_group(group: Any) -> Ranks:
    """The ranks of a process group; None is the default one."""
    if group is not None and not isinstance(group, dist.ProcessGroup):
        if group is dist.GroupMember.NON_GROUP_MEMBER:
            raise ShardlineValueError("this process is not in process_group: build the loader on its processes only")
        raise ShardlineTypeError(f"process_group must be a torch.distributed.ProcessGroup, not {group!r}")
    rank = dist.get_rank(group)
    if rank < 0:
        raise ShardlineValueError("this process is not in process_group: build the loader on its processes only")
    members = tuple(dist.get_process_group_ranks(group))
    return _talking(rank, dist.get_world_size(group), members, members)


def _talking(rank: int, ranks: int, listing: tuple[int, ...], members: tuple[int, ...]) -> Ranks:
    return Ranks(rank, ranks, listing, members) if len(listing) > 1 else Ranks(rank, ranks, (), ())
