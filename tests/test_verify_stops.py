"""Where `shardline verify` stops a run."""

from math import lcm

from hypothesis import given
from hypothesis import strategies as st

from shardline.verification.stops import draw_course


@given(
    shards=st.integers(1, 6),
    steps=st.integers(1, 40),
    most=st.integers(2, 300),
    stops=st.integers(1, 12),
    ranks=st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
    workers=st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 99),
)
def test_lives_follow_one_another_and_stop_where_all_ranks_can(shards, steps, most, stops, ranks, workers, seed):
    step = lcm(*ranks)
    epoch = shards * step * steps
    course = draw_course(epoch, most, stops, ranks, workers, seed)
    lives = course.lives
    assert [a.stop for a in lives[:-1]] == [b.start for b in lives[1:]]
    assert all(life.start < life.stop and life.start % step == life.stop % step == 0 for life in lives)
    assert 0 <= course.start < course.stop <= 2 * epoch
    assert course.stop - course.start <= max(most, 2 * step)
    assert course.stops == min(stops, (course.stop - course.start) // step - 1)
    if len(lives) >= len(ranks):
        assert {life.num_ranks for life in lives} == set(ranks)
    if len(lives) >= len(workers):
        assert {life.num_workers for life in lives} == set(workers)
    assert course == draw_course(epoch, most, stops, ranks, workers, seed)


def test_seeds_stop_elsewhere():
    courses = {draw_course(1000, 2000, 5, (1, 2), (0, 1), seed) for seed in range(20)}
    assert len({tuple(life.start for life in course.lives) for course in courses}) == 20
