"""Which rows stand on the line: a filter and a sample, over the files of a plan."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from shardline._core import Plan, Projection, Selector, Storage
from shardline.errors import ColumnNotFoundError, ShardlineTypeError, ShardlineValueError
from shardline.filters.compile import Filter
from shardline.filters.fallback import PyarrowEvaluator
from shardline.filters.hive import Partitioning, to_bytes
from shardline.filters.sample import Sample
from shardline.options.columns import ColumnOptions, core_spec

log = logging.getLogger("shardline")


@dataclass(frozen=True)
class RowFilter:
    """What was asked of rows."""

    filter: Filter | None = None
    sample: Sample | None = None
    partitioning: Partitioning | None = None
    storage: Storage | None = field(default=None, repr=False, compare=False)

    @cached_property
    def rule(self) -> str:
        """What rows must pass, as JSON; "" where all do. Counts are known by it."""
        if self.filter is None and self.sample is None:
            return ""
        rule: dict[str, Any] = {"filter": None if self.filter is None else self.filter.text, "sample": self._sampled()}
        given = self.partitioning.types if self.partitioning is not None else None
        of_filter = set(self.filter.columns) if self.filter is not None else set()
        rule["folders"] = {name: str(dtype) for name, dtype in given or () if name in of_filter}
        return json.dumps(rule)

    def _sampled(self) -> tuple[Any, ...] | None:
        sample = self.sample
        return sample if sample is None or sample.columns is not None else sample[:3]

    @property
    def topic(self) -> str:
        """All of it as text: what makes loaders on several ranks the same."""
        return json.dumps([self.rule, str(self.partitioning)])

    def __str__(self) -> str:
        parts = [] if self.filter is None else [f"filters={self.filter.text}"]
        if self.sample is not None:
            sample = self.sample
            by = "" if sample.columns is None else f" by {', '.join(sample.columns)}"
            parts.append(f"subset=({sample.low}, {sample.high}){by} (sample_seed={sample.seed})")
        return " and ".join(parts) or "no filter or sample"

    def selector(self, plan: Plan) -> Selector | None:
        """What tells the rows of a plan that pass; None where all do.

        ColumnNotFoundError for a column that is not there, ShardlineTypeError for a wrong comparison.
        """
        if not self.rule and plan.deleted is None:
            return None
        program, evaluate = None, None
        types = {field.name: field.type for field in pa.schema(plan.schema)}
        if plan.partition_schema is not None:
            types |= {field.name: field.type for field in pa.schema(plan.partition_schema)}
        if self.filter is not None:
            for name in self.filter.columns:
                if name not in types:
                    raise missing_column(name, plan, types)
            try:
                program = self.filter.program(types)
            except ShardlineTypeError as error:
                raise ShardlineTypeError(
                    f"{error} (types as {plan.files()[0][0]} under {plan.root} has them)"
                ) from None
            if any(step.name == "unknown" for step in program.steps):
                evaluate = PyarrowEvaluator(self.filter.expression)
        of_rows, of_keys = None, None
        if self.sample is not None:
            low, high, seed, columns = self.sample
            for name in columns or ():
                if name not in types:
                    raise missing_column(name, plan, types, "subset_by")
            of_rows = (low, high, seed) if columns is None else None
            of_keys = None if columns is None else (list(columns), low, high, seed)
        return Selector(plan, sample=of_rows, subset=of_keys, filter=program, evaluate=evaluate, storage=self.storage)

    def kept_files(self, names: Sequence[str], values: pa.RecordBatch | None) -> list[int]:
        """The indices of the files that the filter does not rule out by their folders' values, one row a file."""
        everything = list(range(len(names)))
        if self.filter is None or values is None:
            return everything
        types = {field.name: field.type for field in values.schema}
        low = high = to_bytes(values)
        return self.kept_of(Selector.may_pass(self.filter.program(types, partial=True), low, high), "folders")

    def kept_of(self, may_pass: Sequence[bool], by: str) -> list[int]:
        """The indices of the files of which rows may pass, as far as what they are ruled out by tells."""
        kept = [place for place, may in enumerate(may_pass) if may]
        if not kept:
            raise none_left(self, f"the {by} of all {len(may_pass):,} files rule them out")
        log.info("filters rule out %d of %d files by their %s", len(may_pass) - len(kept), len(may_pass), by)
        return kept


def none_left(rows: RowFilter, why: str) -> ShardlineValueError:
    """The error for a line without a row."""
    return ShardlineValueError(f"no row passes {rows}: {why}; ask for less, or look whether these are the right files")


def rule_in_words(rule: str) -> str:
    """A `RowFilter.rule` for a person."""
    said = json.loads(rule)
    parts = [f"{name} {said[name]}" for name in ("filter", "sample") if said.get(name) is not None]
    return ", ".join(parts)


def missing_column(
    name: str, plan: Plan, types: Mapping[str, pa.DataType], argument: str = "filters"
) -> ColumnNotFoundError:
    """`types`: of the plan's columns, which have no `name`."""
    try:  # the core knows names that are near, and the dotted paths that `columns=` takes
        Projection(plan, [name], tensors=False, default=core_spec(ColumnOptions()), specs={}, groups=[])
    except ColumnNotFoundError as error:
        return ColumnNotFoundError(f"{argument}=: {error.args[0]}")
    if argument == "subset_by":
        return ColumnNotFoundError(f"subset_by={name!r} is a field in a column: a key is made of whole columns")
    for column, type_ in types.items():
        fields = _fields(type_, name.removeprefix(f"{column}.")) if name.startswith(f"{column}.") else None
        if fields is not None:
            way = ", ".join(map(repr, (column, *fields)))
            return ColumnNotFoundError(
                f"filters= names {name!r}, a field of a struct: that is pc.field({way}) in a pyarrow.compute expression"
            )
    return ColumnNotFoundError(
        f"filters= names {name!r}, which lies in a list: a filter looks at columns, and at fields of structs"
    )


def _fields(type_: pa.DataType, path: str) -> tuple[str, ...] | None:
    """The fields, one in another, that a dotted path leads through; None where there are none."""
    for inner in type_ if pa.types.is_struct(type_) else ():
        if path == inner.name:
            return (inner.name,)
        if path.startswith(f"{inner.name}."):
            found = _fields(inner.type, path.removeprefix(f"{inner.name}."))
            if found is not None:
                return (inner.name, *found)
    return None
