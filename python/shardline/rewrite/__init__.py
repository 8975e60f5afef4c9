"""Another layout of the same rows: larger or smaller row groups and files, other codecs and types, sorted, shuffled.

- `layout`: the arguments that say what the output looks like
- `source`: the input, as Arrow batches of any range of rows, by the loader
- `sizes`: how many rows go into a row group, a file, a bucket; how many threads fit the memory
- `survey`: what has to be known of values beforehand: which types are enough, where a sort is cut
- `dictionary`: the columns that a dictionary makes smaller
- `types`: the types of the output, and those of temporary files
- `order`: the order of rows that are sorted or shuffled, and the bucket that a row belongs to
- `job`: what every piece has to know
- `copy`: files whose rows keep their order
- `scatter`: pass one of two: every row to its bucket, in temporary files
- `gather`: pass two: each bucket in memory, in order
- `folders`: `key=value` folders
- `write`: files of row groups
- `digest`: the digest of a multiset of rows, by which the output is verified
- `verify`: what was written, read again
- `journal`: which pieces are done, so that a run that was killed goes on
- `place`: OUT's name: what is refused, the folder beside it, the rename at the end
- `parallel`: tasks on threads, heard by the thread that called
- `report`: what is returned
- `passes`: one run, stage by stage
- `run`: `rewrite()`
- `rows`: `row_digest()`
"""

from shardline.rewrite.report import RewriteProgress, RewriteReport
from shardline.rewrite.rows import row_digest
from shardline.rewrite.run import rewrite

__all__ = ["RewriteProgress", "RewriteReport", "rewrite", "row_digest"]
