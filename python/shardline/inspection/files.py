"""`inspect`: what is in Parquet files, whether they are laid out well, and what they become."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from shardline import text
from shardline.footers.columns import ColumnFacts
from shardline.footers.opening import opener
from shardline.footers.survey import Survey, survey
from shardline.inspection.advice import Advice, advise
from shardline.inspection.listing import list_names, plan_without
from shardline.inspection.sample import sample as read_sample
from shardline.inspection.tensors import tensors_of
from shardline.options import validate
from shardline.options.storage import check_storage
from shardline.options.validate import Paths

_SHOWN = 10
_LEVELS = ("RLE", "BIT_PACKED")
_DICTIONARY = ("PLAIN_DICTIONARY", "RLE_DICTIONARY")


@dataclass(frozen=True)
class FilesReport:
    """What `inspect` found. `print` shows it as text."""

    path: str
    survey: Survey = field(repr=False)
    tensors: dict[str, str] = field(repr=False)
    problem: str
    """Why the files cannot be read together; nothing where they can."""
    advice: list[Advice]

    @property
    def is_good(self) -> bool:
        """Whether all files can be read, and read together."""
        return not self.survey.damaged and not self.problem

    def text(self, width: int = text.WIDTH) -> str:
        """The report, of at most `width` columns."""
        return "\n".join([*self._head(width), *self._columns(width), *self._problems(width), *self._advice(width)])

    __str__ = text

    def _head(self, width: int) -> list[str]:
        found = self.survey
        groups = [group for group in found.groups if group.rows]
        stored, decoded = found.bytes, sum(group.uncompressed for group in found.groups)
        counts = ", ".join(
            text.counted(number, what)
            for number, what in ((found.files, "file"), (len(found.groups), "row group"), (found.rows, "row"))
        )
        facts = [
            [
                "size",
                f"{text.size(stored)}; {text.size(decoded)} decompressed, {text.size(found.footer_bytes)} of footers",
            ]
        ]
        if groups:
            facts += [
                ["rows a row group", _spread([group.rows for group in groups], lambda x: f"{x:,.0f}")],
                ["bytes a row group", _spread([group.uncompressed for group in groups], text.size) + ", decompressed"],
            ]
        columns = found.columns.values()
        facts += [
            [
                "page index",
                _share([each.offset_indexes for each in columns], [each.chunks for each in columns], "column"),
            ],
            ["page checksums", _share([found.with_checksums], [found.files], "file", found.files)],
            [
                "statistics",
                _share([each.bounded + each.empty for each in columns], [c.chunks for c in columns], "column"),
            ],
            ["written by", text.listed((text.printable(name) for name, _ in found.writers.most_common()), 2)],
        ]
        return [*text.paragraph(f"{self.path}: {counts}", width, "", "  "), *text.table([], facts, width)]

    def _columns(self, width: int) -> list[str]:
        if not self.survey.columns:
            return []
        total = sum(each.compressed for each in self.survey.columns.values()) or 1
        rows = [
            [
                text.printable(name),
                text.listed(each.types, 2),
                self._tensor(each),
                "?" if each.has_nulls is None else f"{each.has_nulls:,}",
                f"{each.compressed / total:.0%}",
                ", ".join([text.listed((codec.lower() for codec in each.codecs), 2), _encodings(each)]),
            ]
            for name, each in self.survey.columns.items()
        ]
        headers = ["column", "stored as", "becomes", "nulls", "size", "stored with"]
        return ["Columns", *text.table(headers, rows, width, right=[3, 4])]

    def _tensor(self, facts: ColumnFacts) -> str:
        name = facts.leaf.name
        return (
            self.tensors.get(name)
            or self.tensors.get(name.replace("[]", ""))
            or self.tensors.get(facts.leaf.column, "?")
        )

    def _problems(self, width: int) -> list[str]:
        if self.is_good:
            return []
        damaged = list(self.survey.damaged.items())
        lines = [
            line
            for name, wrong in damaged[:_SHOWN]
            for line in text.paragraph(f"{name}: {wrong}", width, "  - ", "    ")
        ]
        if len(damaged) > _SHOWN:
            lines.append(f"  - and {text.counted(len(damaged) - _SHOWN, 'more file')}")
        if self.problem:
            lines += text.paragraph(self.problem, width, "  - ", "    ")
        return ["Problems", *lines]

    def _advice(self, width: int) -> list[str]:
        if not self.advice:
            return ["Advice: none, the files are laid out well"] if self.is_good else []
        lines = ["Advice"]
        for each in self.advice:
            lines += text.paragraph(each.found, width, "  - ", "    ")
            lines += text.paragraph(each.cure, width, "    → ", "      ")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        found = self.survey
        return dict(
            text.plain(
                {
                    "path": self.path,
                    "files": found.files,
                    "rows": found.rows,
                    "bytes": found.bytes,
                    "footer_bytes": found.footer_bytes,
                    "row_groups": {
                        "count": len(found.groups),
                        "rows": _numbers([group.rows for group in found.groups]),
                        "compressed_bytes": _numbers([group.compressed for group in found.groups]),
                        "uncompressed_bytes": _numbers([group.uncompressed for group in found.groups]),
                    },
                    "files_with_page_checksums": found.with_checksums,
                    "written_by": dict(found.writers),
                    "columns": {
                        name: {
                            "types": list(each.types),
                            "becomes": self._tensor(each),
                            "nulls": each.has_nulls,
                            "compressed_bytes": each.compressed,
                            "uncompressed_bytes": each.uncompressed,
                            "codecs": list(each.codecs),
                            "encodings": list(each.encodings),
                            "chunks": each.chunks,
                            "chunks_with_page_index": each.offset_indexes,
                            "chunks_with_statistics": each.bounded + each.empty,
                        }
                        for name, each in found.columns.items()
                    },
                    "damaged": found.damaged,
                    "problem": self.problem,
                    "advice": [vars(each) for each in self.advice],
                }
            )
        )


def inspect(
    path: Paths,
    *,
    storage_options: Mapping[str, Any] | None = None,
    num_threads: int | None = None,
    sample: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> FilesReport:
    """Looks at Parquet files: all footers, the first page's header of each file, and some rows for the advice.

    Args:
        path: A file, a directory, a glob, or a list of these, on disk or in a store (`s3://`, `gs://`).
        storage_options: How the store is read.
        num_threads: Footers read at a time; the cores of this process by default.
        sample: Whether to read up to 16,384 rows of 4 row groups of the columns that may be stored better. Without it
            nothing but footers and page headers is read, and advice that needs values is not given.
        progress: Called with the files that were looked at, and with all of them.

    Returns:
        The report; `print` shows it. Files that cannot be read are listed in it.

    Raises:
        ShardlineFileNotFoundError: There is no such path, or no file in it.
        ShardlineError: No file can be read.

    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "x.parquet")
    >>> pq.write_table(pa.table({"x": range(10)}), path)
    >>> [advice.about for advice in inspect(path).advice]
    ['no page checksums']
    """
    paths = validate.check_paths(path)
    storage = check_storage(storage_options, paths, None)
    threads = validate.check_num_threads(num_threads)
    root, names = list_names(paths, storage)
    open_file = opener(root, storage)
    told = None if progress is None else (lambda done: progress(done, len(names)))
    found = survey(names, open_file, threads, told)
    tensors, problem = tensors_of(plan_without(paths, storage, threads, list(found.damaged)), storage_options)
    sampled = read_sample(found, open_file) if sample else {}
    where = paths[0] if len(paths) == 1 else root
    return FilesReport(where, found, tensors, problem, advise(found, sampled))


def _spread(numbers: list[int], words: Callable[[float], str]) -> str:
    least, middle, most = words(min(numbers)), words(median(numbers)), words(max(numbers))
    return least if least == most else f"{least} to {most}, half of them up to {middle}"


def _numbers(numbers: list[int]) -> dict[str, float] | None:
    return {"min": min(numbers), "median": median(numbers), "max": max(numbers)} if numbers else None


def _share(have: list[int], all_: list[int], what: str, of: int | None = None) -> str:
    """Of how many, in words. `of`: where the numbers are counts, not one for each."""
    if sum(have) == sum(all_):
        return "yes" if sum(all_) else "none"
    if not sum(have):
        return "none"
    full = have[0] if of is not None else sum(h == a for h, a in zip(have, all_, strict=True))
    return f"{full:,} of {text.counted(len(all_) if of is None else of, what)}"


def _encodings(facts: ColumnFacts) -> str:
    """Those of values, without those of levels; a dictionary is itself stored plain."""
    names = [name for name in facts.encodings if name not in (*_LEVELS, *_DICTIONARY)]
    if facts.dictionaries == facts.chunks:
        names = [name for name in names if name != "PLAIN"]
    words = ["dictionary"] if facts.dictionaries else []
    return ", ".join([*words, *(name.lower().replace("_", " ") for name in names)]) or "rle"
