"""The digests by which `shardline verify` compares batches."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import columns, examples, functions

from shardline.verification.digest import digest, digests


@pytest.mark.parametrize("type_", columns.ALL, ids=str)
def test_arrow_values_are_the_same_wherever_they_lie(type_):
    array = columns.random_array(np.random.default_rng(0), type_, 30, 0.3)
    moved = pa.concat_arrays([array[:3], array[3:20], array[20:]])
    assert digest(array[5:25]) == digest(moved[5:25])
    assert digest(array[5:25]) != digest(array[6:26])
    assert digest(array) != digest(pa.concat_arrays([array[:29], pa.nulls(1, type_), array[29:]]))


def test_every_kind_of_value_has_a_digest_that_its_copy_has_too():
    torch.manual_seed(0)
    one = functions.zoo({"i": torch.arange(9)})
    torch.manual_seed(0)
    same = functions.zoo({"i": torch.arange(9)})
    assert digests(one) == digests(same)
    other = functions.zoo({"i": torch.arange(1, 10)})
    differing = {key for key, value in digests(other).items() if value != digests(one)[key]}
    assert {"thing", "nested", "scalar", "bfloat16", "complex", "strided", "array", "5", "jagged"} <= differing


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.tensor([0.0]), torch.tensor([-0.0])),
        (torch.tensor([1, 2]), torch.tensor([1, 2], dtype=torch.int32)),
        (torch.tensor([[1, 2]]), torch.tensor([[1], [2]])),
        (torch.tensor([1.0]), np.array([1.0], "f4")),
        (["a", "bc"], ["ab", "c"]),
        ([1], (1,)),
        ([1], [True]),
        ([None], [0]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (b"a", "a"),
    ],
    ids=str,
)
def test_what_is_not_the_same(one, other):
    assert digest(one) != digest(other)


@examples(50)
@given(values=st.binary(min_size=8, max_size=64), bit=st.integers(0, 63))
def test_every_bit_counts(values, bit):
    array = np.frombuffer(values[: len(values) // 8 * 8], np.uint8).copy()
    tensor = torch.from_numpy(array).view(torch.float64)
    before = digest(tensor)
    array[bit // 8] ^= 1 << bit % 8
    assert digest(tensor) != before
