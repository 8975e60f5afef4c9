"""Packed sequences of a table: the documents that it has deleted are no part of the token line."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, packs
from support.packed import SHUFFLES, documents, pack_of, settings_of, write

from shardline import StructuredDataset


def without(files, rng, share):
    """The positions that are deleted of each file, and the lists that are left of each row group."""
    deleted, left = [], []
    for number, groups in enumerate(files):
        gone, first = [], 0
        for lists in groups:
            kept = rng.random(len(lists)) >= share
            gone += [first + row for row in np.flatnonzero(~kept).tolist()]
            left.append([tokens for tokens, is_kept in zip(lists, kept, strict=True) if is_kept])
            first += len(lists)
        deleted.append((number, np.array(gone, np.int64)))
    return deleted, left


@examples(60)
@given(documents(), settings_of(), st.integers(0, 2**32), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 4))
def test_deleted_documents_are_no_part_of_the_line(tmp_path_factory, made, pack, seed, share, shuffle):
    files, kind, how = made
    path = write(tmp_path_factory.mktemp("packs"), files, kind, how)
    deleted, left = without(files, np.random.default_rng(seed), share)
    line = packs.token_line(left, pack)
    assume(line)
    plan = StructuredDataset(path, columns=["row"], batch_size=1).plan.with_deleted(deleted)
    dataset = StructuredDataset(plan=plan, pack=pack_of(pack), batch_size=2, **SHUFFLES[shuffle])
    assert dataset.num_rows == sum(packs.sequences(left, pack))
    wanted = [packs.block(line, number, pack).input_ids for number in range(dataset.num_rows)]
    assert sorted(ids for batch in dataset for ids in batch["input_ids"].tolist()) == sorted(wanted)
