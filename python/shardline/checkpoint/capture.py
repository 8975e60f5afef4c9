"""What is saved, taken at one moment on one rank: the states of all parts, and of the random generators last."""

from collections.abc import Callable, Mapping
from typing import Any

import torch.distributed as dist

from shardline.checkpoint import rng_state, serialization
from shardline.checkpoint.captured_state import CapturedState
from shardline.checkpoint.coordinator import Coordinator
from shardline.checkpoint.parts import RNG, Part
from shardline.checkpoint.save import Saver
from shardline.errors import ShardlineTypeError, ShardlineValueError
from shardline.options import validate


class StateCapture:
    """Takes states at a step's border, to be written at once, or copied, to be written later."""

    def __init__(
        self,
        parts: dict[str, Part],
        generators: Mapping[str, rng_state.Given],
        coordinator: Coordinator,
        data: Part | None,
    ) -> None:
        self._parts, self._generators, self._coordinator, self._data = parts, generators, coordinator, data
        self._copier = serialization.Copier()
        self._group: Any = None  # of sharded saves in the background

    def take(
        self, step: int, epoch: int | None, metrics: Mapping[str, Any], values: Mapping[str, Any], *, copied: bool
    ) -> CapturedState:
        """Everything that this rank gives to the checkpoint of a step."""
        step = validate.check_int("step", step, 0, 2**62)
        spread: dict[str, Part] = {}
        if dist.is_available() and dist.is_initialized():
            from shardline.checkpoint import dcp

            spread = dcp.spread(self._parts)
        shared: dict[str, Any] = {}
        own: dict[str, Any] = {}
        # loaders first: torchdata's state_dict may make an iterator, which draws from the global generator
        for name, part in sorted(self._parts.items(), key=lambda item: not item[1].is_loader):
            if name in spread:
                continue
            if part.own or (part.is_loader and self._coordinator.ranks > 1):
                state = part.take()
                ours = part.is_loader and isinstance(state, Mapping) and "shardline" in state
                (shared if ours and not part.own else own)[name] = state
            elif self._coordinator.leads:
                shared[name] = part.take()
        own[RNG] = rng_state.take(self._generators)
        plans = self._plans(shared)
        if not self._coordinator.leads:
            shared = {}
        if copied:
            copies = self._copier.copy({**shared, **own})
            shared, own = ({name: copies[name] for name in states} for states in (shared, own))
        else:
            shared, own = (
                {name: serialization.tidy(state, name) for name, state in each.items()} for each in (shared, own)
            )
        taken = CapturedState(
            step=step,
            epoch=self._epoch(epoch),
            metrics=_numbers(metrics),
            values=_plain(values),
            shared=shared,
            own=own,
            plain=frozenset(name for name, part in self._parts.items() if part.is_loader or part.is_plain),
            plans=plans,
            places={
                name: place
                for name, part in self._parts.items()
                if part.is_loader and not part.own and (place := part.place) is not None
            },
        )
        if spread:
            from shardline.checkpoint import dcp

            taken.sharded = dcp.states(spread, self._parts)
        return taken

    def writing(self, saver: Saver, taken: CapturedState) -> Callable[[], object]:
        """What a thread is to do for a copied state."""
        if not taken.sharded:
            return lambda: saver.save(taken)
        from shardline.checkpoint import dcp

        pending = saver.begin(taken)  # all ranks are here after it: what follows cannot miss one
        if self._group is None:
            members = (
                dist.get_process_group_ranks(self._coordinator.group) if self._coordinator.group is not None else None
            )
            self._group = dist.new_group(members, backend="gloo", use_local_synchronization=members is not None)
        future = dcp.begin_to_save(taken.sharded, pending, self._group)
        return lambda: saver.save_pieces(taken, pending, lambda: getattr(future, "upload_completion", future).result())

    def _epoch(self, given: int | None) -> int | None:
        position = self._data.position if self._data is not None else None
        if position is not None:
            if given is not None:
                raise ShardlineValueError(f"epoch={given!r} is not needed: the loader knows that it is {position[0]}")
            return position[0]
        return None if given is None else validate.check_int("epoch", given, 0, 2**62)

    def _plans(self, states: Mapping[str, Any]) -> dict[str, Any]:
        """Of loaders whose state is too large to name its files."""
        plans: dict[str, Any] = {}
        for name, state in states.items():
            part = self._parts[name]
            if part.is_loader and isinstance(state, Mapping) and "shardline" in state:
                dataset = getattr(part.stateful, "dataset", part.stateful)
                if state["files"]["packed"] is None and dataset.plan.digest == state["files"]["digest"]:
                    plans[f"plan-{dataset.plan.digest}"] = dataset.plan
        return plans


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, value in metrics.items():
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ShardlineTypeError(f"metrics[{name!r}] must be a number, not {value!r}") from error
    return found


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if not serialization.is_json({name: value}):
            raise ShardlineTypeError(
                f"values[{name!r}] must be what JSON gives back as it is (numbers, text, lists, dicts), not {value!r}: "
                "other things belong into a dict that is given to the Checkpointer as extra="
            )
    return serialization.tidy(dict(values), "values")  # type: ignore[no-any-return]
