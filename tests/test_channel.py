"""What ranks tell each other: no word is changed by another, and who listens late hears the same."""

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.job import job

from shardline import CheckpointMismatchError, DataLoader
from shardline.distributed import kv_store as channel

KEYS = ["state/0", "state/0/0", "state/0/1", "state/0/0/0", "state/1", "counts", "counts/0", "counts/1"]
WORDS = st.one_of(st.none(), st.binary(max_size=12))  # None: it is taken out of the store


def _said(rank):
    channel.CHUNK = 3

    @settings(deadline=None, suppress_health_check=list(HealthCheck))  # the suite's profile is not known in a job
    @given(said=st.lists(st.tuples(st.sampled_from(KEYS), WORDS), max_size=16))
    def check(said):
        talk, known = channel.RankChannel([0], "laws", 1.0), {}
        for key, word in said:
            if word is not None:
                talk.put(key, word)
                known[key] = word
            elif known.pop(key, None) is not None:
                talk.forget(key)
            for one in KEYS:
                assert talk.has(one) == (one in known)
            assert {one: talk.get(one) for one in known} == known

    check()


def test_no_word_changes_another():
    """Though one key is another's with a number behind it, and both are said in chunks."""
    assert job(1, _said) == [None]


def _late(rank, path):
    loader = DataLoader(path, batch_size=2)
    loader.load_state_dict(loader.state_at(8 * (rank + 1)))
    wait = channel.RankChannel.wait

    def listen(self, keys, *others):
        end = time.monotonic() + 30
        while not self.has("state/0") and time.monotonic() < end:
            time.sleep(0.01)
        wait(self, keys, *others)

    if rank:
        channel.RankChannel.wait = listen  # it hears of the first rank only once that one has said all
    try:
        next(iter(loader))
    except CheckpointMismatchError as error:
        return str(error)
    return "no error"


def test_a_rank_that_listens_late_hears_why_it_is_refused(hundred):
    first, second = job(2, _late, hundred)
    assert first == second
    assert "rank 1: epoch 0, 32 batches" in first
