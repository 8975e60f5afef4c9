"""Which checkpoints are kept, and which one is restored."""

import itertools
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples
from support.small import make, names
from torch import nn

from shardline import Checkpointer, CheckpointError

_numbers = itertools.count()


def test_latest_is_what_was_saved_last(place):
    model, _, ck = make(place, keep_last=None)
    for step in (10, 20, 30):
        nn.init.constant_(model[0].weight, step)
        ck.save(step)
    assert ck.restore(10).step == 10
    ck.save(15)  # a new branch
    assert [one.step for one in ck.list()] == [10, 20, 30, 15]
    assert make(place)[2].restore().step == 15
    nn.init.constant_(model[0].weight, 2000)
    ck.save(20)
    assert [one.step for one in ck.list()] == [10, 30, 15, 20]
    assert names(place) == ["step-10", "step-15", "step-20.1", "step-30"]
    other, _, ck = make(place)
    assert ck.restore(place / "step-30").step == 30
    assert other[0].weight[0, 0] == 30
    assert ck.restore(str(place)).step == 20
    assert other[0].weight[0, 0] == 2000
    with pytest.raises(CheckpointError, match="no checkpoint of step 7 .*there are 10, 30, 15, 20"):
        ck.restore(7)
    with pytest.raises(CheckpointError, match="is no checkpoint, and holds none"):
        ck.restore(place / "elsewhere")
    with pytest.raises(TypeError, match="which must be"):
        ck.restore(True)


@examples(25)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 5), st.just(math.nan)), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sampled_from(["min", "max"]),
)
def test_what_is_kept(place, losses, keep_last, keep_best, mode):
    folder = place / str(next(_numbers))
    ck = Checkpointer(folder, extra={}, keep_last=keep_last, keep_best=keep_best, monitor="loss", mode=mode)
    kept, sign = [], 1 if mode == "min" else -1
    for step, loss in enumerate(losses):
        ck.save(step, metrics={} if loss is None else {"loss": loss})
        kept.append(step)
        measured = [one for one in kept if losses[one] is not None and not math.isnan(losses[one])]
        best = sorted(measured, key=lambda one: (sign * losses[one], one))
        kept = [one for one in kept if one in kept[-keep_last:] or one in best[:keep_best]]
        assert [one.step for one in ck.list()] == kept
    if best:
        if keep_best:
            assert ck.restore("best").step == best[0]
    else:
        with pytest.raises(CheckpointError, match="was saved with the metric 'loss'"):
            ck.restore("best")


def test_what_is_skipped_is_logged(place, caplog):
    _, _, ck = make(place)
    ck.save(1)
    ck.save(2)
    (place / "step-2" / "optimizer.pt").unlink()
    with caplog.at_level(logging.WARNING, "shardline"):
        restored = ck.restore()
    assert restored.step == 1
    assert "optimizer.pt cannot be read" in restored.skipped[0]
    assert restored.skipped[0] in caplog.text
