"""Packed sequences of a table: the documents that it has deleted are in none."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples
from support.packed import SHUFFLES, documents, model, pack_of, settings_of, write

from shardline import StructuredDataset


def without(files, rng, share):
    """The positions that are deleted of each file, and the files with the lists that are left."""
    deleted, left = [], []
    for number, groups in enumerate(files):
        gone, first, kept_groups = [], 0, []
        for lists in groups:
            kept = rng.random(len(lists)) >= share
            gone += [first + row for row in np.flatnonzero(~kept).tolist()]
            kept_groups.append([tokens for tokens, is_kept in zip(lists, kept, strict=True) if is_kept])
            first += len(lists)
        deleted.append((number, np.array(gone, np.int64)))
        left.append(kept_groups)
    return deleted, left


@pytest.mark.parametrize("mode", ["wrap", "fit"])
@examples(60)
@given(documents(), st.data(), st.integers(0, 2**32), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 4))
def test_deleted_documents_are_in_no_sequence(tmp_path_factory, mode, made, data, seed, share, shuffle):
    pack = data.draw(settings_of(mode))
    files, kind, how = made
    path = write(tmp_path_factory.mktemp("packs"), files, kind, how)
    deleted, left = without(files, np.random.default_rng(seed), share)
    wanted = model(left, pack, (7, 0) if shuffle else None)
    assume(wanted.pieces)
    plan = StructuredDataset(path, columns=["row"], batch_size=1).plan.with_deleted(deleted)
    options = {**SHUFFLES[shuffle], **({"shuffle_seed": 7} if shuffle else {})}
    dataset = StructuredDataset(plan=plan, pack=pack_of(pack), batch_size=2, **options)
    assert dataset.num_rows == sum(wanted.counts)
    found = sorted(ids for batch in dataset for ids in batch["input_ids"].tolist())
    assert found == sorted(block.input_ids for block in wanted.blocks)
