"""What could be laid out better: with the figures that say so, and the cure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from shardline.footers.survey import Survey
from shardline.inspection.sample import Sampled
from shardline.text import counted, listed, size

_FEW_GROUPS = 16
_SMALL_ROWS = 4_000
_SMALL_BYTES = 1 << 20
_LARGE_BYTES = 512 << 20
_INDEX_BYTES = 16 << 20
_MANY_FILES = 100
_SAMPLE = 1_000
_IDS = 0.1


@dataclass(frozen=True)
class Advice:
    """One thing that could be better."""

    about: str
    """In a word, for machines: "small row groups", "sorted" …"""
    found: str
    """What was found, with figures."""
    cure: str
    columns: tuple[str, ...] = ()


def advise(survey: Survey, sampled: Mapping[str, Sampled]) -> list[Advice]:
    """What there is to say, the layout of files first."""
    return [*_of_files(survey), *_of_footers(survey), *_of_columns(survey, sampled)]


def _of_files(survey: Survey) -> Iterator[Advice]:
    rows = [group.rows for group in survey.groups if group.rows]
    sizes = [group.uncompressed for group in survey.groups if group.rows]
    if not rows:
        return
    if survey.files >= _MANY_FILES and survey.bytes < survey.files * _SMALL_BYTES:
        yield Advice(
            "small files",
            f"{survey.files:,} files of {size(survey.bytes / survey.files)} on average: opening files and parsing "
            "footers is a large part of reading them",
            "fewer, larger files: shardline rewrite IN OUT",
        )
    few, least = median(rows), median(sizes)
    if len(rows) >= _FEW_GROUPS and few < _SMALL_ROWS and least < _SMALL_BYTES:
        yield Advice(
            "small row groups",
            f"{counted(len(rows), 'row group')} of {few:,.0f} rows and {size(least)} (medians): each costs "
            "a read a column, and an entry of the footer",
            "row groups of 16 to 128 MiB: shardline rewrite IN OUT --row-group-bytes 64MiB",
        )
    if max(sizes) > _LARGE_BYTES:
        large = sum(each > _LARGE_BYTES for each in sizes)
        yield Advice(
            "large row groups",
            f"{counted(large, 'row group')} over {size(_LARGE_BYTES)} decompressed, the largest {size(max(sizes))}: a "
            "shard begins inside of one, and one thread decodes its column",
            "row groups of 16 to 128 MiB: shardline rewrite IN OUT --row-group-bytes 64MiB",
        )


def _of_footers(survey: Survey) -> Iterator[Advice]:
    columns, files = survey.columns.values(), survey.files
    if survey.rows and survey.with_checksums < files:
        many = (
            "no file has" if not survey.with_checksums else f"{files - survey.with_checksums:,} of {files:,} files lack"
        )
        yield Advice(
            "no page checksums",
            f"{many} page checksums: a flipped bit in data is delivered as a value",
            "shardline rewrite IN OUT --page-checksums (pyarrow: write_page_checksum=True)",
        )
    without = [each.leaf.name for each in columns if each.bounded + each.empty == 0 and each.counted < each.chunks]
    if without:
        yield Advice(
            "no statistics",
            f"no statistics for {listed(without)}: filters read every row group, and nulls are met only while training",
            "shardline rewrite IN OUT --statistics",
            tuple(without),
        )
    sizes = [group.uncompressed for group in survey.groups if group.rows]
    without = [each.leaf.name for each in columns if each.offset_indexes < each.chunks]
    if without and sizes and median(sizes) > _INDEX_BYTES:
        yield Advice(
            "no page index",
            f"no page index for {counted(len(without), 'column')} in row groups of {size(median(sizes))}: a resume "
            "or a filter in the middle of a row group reads it from its start",
            "shardline rewrite IN OUT --page-index (pyarrow: write_page_index=True)",
            tuple(without),
        )


def _of_columns(survey: Survey, sampled: Mapping[str, Sampled]) -> Iterator[Advice]:
    in_order = [name for name, each in survey.columns.items() if each.sorted_by]
    if in_order:
        yield Advice(
            "sorted",
            f"sorted by {listed(in_order)}: every row group begins where the one before ended, so that "
            "batches in file order are of neighbours",
            "shuffle=True mixes them (see: shardline shuffle-quality PATH); for readers that cannot: "
            "shardline rewrite IN OUT --shuffle --seed 0",
            tuple(in_order),
        )
    for name, one in sampled.items():
        of = f"{one.rows:,} rows of {counted(one.groups, 'row group')}"
        if one.distinct is None or one.rows < _SAMPLE:
            continue
        if one.are_whole_numbers:
            yield Advice(
                "numbers as text",
                f"{name} is text, and all of {of} are whole numbers",
                "store it as int64; a text is delivered as a Python object",
                (name,),
            )
        elif 0 < one.distinct <= one.rows * _IDS:
            yield Advice(
                "text as ids",
                f"{name} is text with {counted(one.distinct, 'value')} in {of}",
                f'ids instead of Python strings: column_options={{"{name}": ColumnOptions(encode="codes")}}',
                (name,),
            )
    fixed = {
        name: one.length
        for name, one in sampled.items()
        if one.length and survey.columns[name].per_row == {one.length} and survey.columns[name].leaf.in_list
    }
    if fixed:
        lists = {name.removesuffix("[]"): length for name, length in fixed.items()}
        rows = max(sampled[name].rows for name in fixed)
        said = ", ".join(f"{name} of {length:,}" for name, length in lists.items())
        yield Advice(
            "lists of one length",
            f"lists of one length: {said} (the average in every footer, and each of {rows:,} rows that were read)",
            "fixed-size lists become (rows, length) tensors: shardline rewrite IN OUT --fixed-size-lists, which checks "
            "every list",
            tuple(lists),
        )
    narrow = [name for name, one in sampled.items() if one.fit_float32 and one.rows >= _SAMPLE]
    if narrow:
        rows = max(sampled[name].rows for name in narrow)
        yield Advice(
            "float64 not needed",
            f"{listed(narrow)} {'is' if len(narrow) == 1 else 'are'} float64, and all values in {rows:,} rows of "
            f"{counted(max(sampled[name].groups for name in narrow), 'row group')} are the same as float32",
            "half the bytes: shardline rewrite IN OUT --narrow, which checks every value; or "
            'ColumnOptions(dtype="float32")',
            tuple(narrow),
        )
