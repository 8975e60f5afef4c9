"""What ranks tell each other: no word is changed by another."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.job import job

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
