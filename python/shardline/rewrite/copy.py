"""Files whose rows keep their order: a piece is a file, and each reads its own rows."""

from collections.abc import Sequence

from shardline.rewrite.digest import Digest, digest
from shardline.rewrite.job import Job, Piece, Rows
from shardline.rewrite.parallel import Tell
from shardline.rewrite.verify import check_same, digest_of_files


def copy_files(job: Job, files: Sequence[int], tell: Tell) -> None:
    """Writes consecutive files, with one reader for all of them."""
    sizes = job.sizes
    groups = sizes.groups_per_file
    threads = 2 if sizes.workers == 1 else 1
    batches = job.source.batches(files[0] * groups, len(files) * groups, sizes.row_group, threads=threads)
    for file in files:
        writer, read = job.new_file(job.file_name(file), sizes.row_group), Digest()
        for _ in range(groups):
            batch = next(batches, None)
            if batch is None:
                break
            read += digest(batch)
            writer.add(job.conformed(batch))
            tell(Rows(batch.num_rows))
            del batch
        written = writer.close()
        found = digest_of_files(job.folder, [written], job.source.schema)
        check_same(read, found, str(writer.path))
        tell(Piece(f"file {file}", found, (written,)))
