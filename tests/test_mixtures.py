"""Laws M1-M7 of mixtures, against a model in plain Python that goes row by row."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, reading
from support.mixed import SEED, Data, Job, expected, rows_of
from support.mixtures import Model

import shardline
from shardline import At, DataLoader, Mixture, Source

GROUPS = [(1,), (5,), (17,), (4, 30), (40, 1, 22), (100, 100)]
NAMES = ["web", "code", "math/α", "b"]
WEIGHTS = [1, 3, 7, 0.5, 0.05, 128]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Data(tmp_path_factory.mktemp("mixed"))


@st.composite
def mixtures(draw, max_sources=4):
    """(names, groups, weights, caps, stop, end, schedule): `end` in batches, `schedule` [(batch, weights)]."""
    count = draw(st.integers(1, max_sources))
    names = draw(st.permutations(NAMES))[:count]
    groups = [draw(st.sampled_from(GROUPS)) for _ in names]
    weights = [draw(st.sampled_from(WEIGHTS)) for _ in names]
    later = st.lists(st.sampled_from([0, *WEIGHTS]), min_size=count, max_size=count).filter(any)
    changes = sorted(draw(st.sets(st.integers(1, 30), max_size=2)))
    return names, groups, weights, [(batch, draw(later)) for batch in changes]


def made(data, names, groups, weights, schedule, epochs=None, **options):
    epochs = epochs or [None] * len(names)
    sources = {
        name: Source(data.path(group), weight, epochs=of)
        for name, group, weight, of in zip(names, groups, weights, epochs, strict=False)
    }
    entries = [At(batch, dict(zip(names, after, strict=False))) for batch, after in schedule]
    return Mixture(sources, schedule=entries, **options)


def model_of(names, groups, weights, schedule, batch_size, **options):
    rows = [(0, weights), *((batch * batch_size, after) for batch, after in schedule)]
    return Model(names, [sum(group) for group in groups], rows, seed=SEED, **options)


LEG = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 7), st.integers(0, 9))
"""Ranks, shards a rank, rows of a batch, steps until the leg is left."""


@examples(60)
@given(mixtures(), st.lists(LEG, min_size=1, max_size=3), st.booleans(), st.sampled_from([None, 0, 9]))
def test_any_history_delivers_what_the_model_says(data, mixture, legs, shuffle, buffer):
    """M1, M2, M3, M7: over legs of other ranks, shards and batch sizes, with weights that change."""
    names, groups, weights, schedule = mixture
    options = {"shuffle": shuffle, **({"shuffle_buffer_size": buffer} if shuffle and buffer is not None else {})}
    order = tuple({"shuffle": shuffle, "buffer_rows": options.get("shuffle_buffer_size")}.items())
    model = model_of(names, groups, weights, schedule, legs[0][2])
    begun = made(data, names, groups, weights, schedule)
    state, shards = None, legs[0][0] * legs[0][1]
    for ranks, per_rank, batch_size, steps in legs:
        given = dict(batch_size=batch_size, num_shards=ranks * per_rank, **options, **reading(batch_size, steps))
        job = Job(begun, ranks, state, **given)
        leg = json.loads(json.dumps(job.loaders[0].state_dict()))["legs"][-1]
        if state is None or leg[3] == 0:  # a new leg
            if state is not None:
                model.stop_leg()
            model.begin(leg[0], leg[1])
        wanted = expected(model, model.deliver(steps * ranks), data, groups, order, shards)
        assert job.take(steps) == wanted
        state = json.loads(json.dumps(job.state()))
        counts = job.loaders[0].mixture.at()
        assert [count.rows for count in counts.values()] == model.taken
        assert list(counts) == job.loaders[0].mixture.names == list(names)


@examples(40)
@given(
    mixtures(),
    st.lists(st.sampled_from([None, 1, 0.5, 2.5]), min_size=4, max_size=4),
    st.sampled_from(["first", "all", None]),
    st.one_of(st.none(), st.integers(3, 40)),
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 9),
    st.booleans(),
)
def test_policies_end_at_the_same_step_on_all_ranks(
    data, mixture, epochs, stop, end, ranks, per_rank, batch_size, drop_last
):
    """M6: the last step is that of the model, `len()` says it, and no source passes its cap."""
    names, groups, weights, schedule = mixture
    sizes = [sum(group) for group in groups]
    caps = [None if of is None else int(of * size) for of, size in zip(epochs, sizes, strict=False)]
    lanes = ranks * per_rank
    # Smaller sources are refused.
    groups = [
        g if (c if c is not None else s) >= lanes else GROUPS[-1] for g, c, s in zip(groups, caps, sizes, strict=False)
    ]
    sizes = [sum(group) for group in groups]
    caps = [None if of is None else int(of * size) for of, size in zip(epochs, sizes, strict=False)]
    if stop == "all":
        schedule = []  # a weight of 0 may put an end off for ever
    if stop is None and (end is None or any(c is not None for c in caps)):
        end = end or 20
    begun = made(data, names, groups, weights, schedule, epochs[: len(names)], stop=stop, batches=end)
    model = model_of(
        names,
        groups,
        weights,
        schedule,
        batch_size,
        caps=caps,
        stop=stop,
        end=None if end is None else end * batch_size,
    )
    total = model.begin(lanes, batch_size, drop_last)
    assume(model.over or end is not None)  # it ends before the model gives up
    total -= total % ranks
    given = {"batch_size": batch_size, "num_shards": lanes, "drop_last": drop_last}
    if total == 0:
        with pytest.raises(shardline.ShardlineValueError, match="ends before"):
            Job(begun, ranks, **given)
        return
    job = Job(begun, ranks, **given)
    assert len(job.loaders[0]) == total // ranks
    wanted = expected(model, model.deliver(total), data, groups, (("shuffle", False),), lanes)
    assert job.rest() == wanted
    taken = [count.rows for count in job.loaders[0].mixture.at().values()]
    assert taken == model.taken
    assert all(cap is None or count <= cap for cap, count in zip(caps, taken, strict=False))
    if drop_last:
        assert all(len(batch) == batch_size for batch in wanted)


@examples(40)
@given(
    mixtures(),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 6),
    st.integers(0, 12),
    st.lists(st.sampled_from([0, *WEIGHTS]), min_size=4, max_size=4).filter(lambda weights: weights[0] > 0),
    st.one_of(st.none(), st.integers(0, 9)),
)
def test_weights_that_are_set_change_nothing_before(data, mixture, ranks, per_rank, batch_size, steps, after, ahead):
    """M3: by `set_weights`, in the middle of an epoch and of an iterator; the state has them."""
    names, groups, weights, _ = mixture
    lanes = ranks * per_rank
    begun = made(data, names, groups, weights, [])
    job = Job(begun, ranks, batch_size=batch_size, num_shards=lanes, shuffle=True)
    border = steps * ranks + (ahead or 0)
    model = model_of(names, groups, weights, [(border, after[: len(names)])] if border else [], batch_size)
    if border == 0:
        model.weights = [(0, [int(w * 100) for w in after[: len(names)]])]
    model.begin(lanes, batch_size)
    order = tuple({"shuffle": True}.items())
    first = expected(model, model.deliver(steps * ranks), data, groups, order, lanes)
    assert job.take(steps) == first
    for loader in job.loaders:
        loader.set_weights(dict(zip(names, after, strict=False)), at=None if ahead is None else border)
    wanted = expected(model, model.deliver(8 * ranks), data, groups, order, lanes)
    state = job.state()
    assert job.take(8) == wanted
    assert Job(begun, ranks, state, batch_size=batch_size, shuffle=True).take(8) == wanted


def test_a_source_alone_is_its_plain_loader(data):
    """M5: lane by lane and batch by batch the rows of the plain loader with the source's seed, k and T."""
    path = data.path((100, 100))
    seed = shardline._core.Mixture.source_seed(SEED, 0, "web")
    plain = DataLoader(path, batch_size=8, num_shards=3, rank=0, num_ranks=1, shuffle=True, shuffle_seed=seed,
                       shuffle_buffer_size=20, shuffle_strands=8)  # fmt: skip
    mixed = DataLoader(Mixture({"web": Source(path)}, batches=24), batch_size=8, num_shards=3, shuffle=True,
                       shuffle_seed=SEED, shuffle_buffer_size=20, shuffle_strands=8)  # fmt: skip
    batches = [sorted(batch["i"].tolist()) for batch in plain]
    found = [batch["i"].tolist() for batch in mixed]
    assert [sorted(batch) for batch in found] == batches[:24]
    assert found != [batch["i"].tolist() for batch in plain][:24]


@examples(20)
@given(mixtures(3), st.integers(1, 3), st.integers(1, 6))
def test_other_sources_change_nothing_of_a_sources_rows(data, mixture, lanes, batch_size):
    """M4: names key orders: sources reordered, one added with weight 0, leave each source's rows as they are."""
    names, groups, weights, _ = mixture
    options = {"batch_size": batch_size, "num_shards": lanes, "shuffle": True, "shuffle_seed": SEED}

    def by_name(mixture):
        loader = DataLoader(mixture, **options)
        found = {name: [] for name in loader.mixture.names}
        for batch in loader:
            for lane_rows in [sorted(rows_of(batch))]:
                for source, row in lane_rows:
                    found[loader.mixture.names[source]].append(row)
        return found

    one = by_name(made(data, names, groups, weights, [], batches=4 * lanes))
    turned = slice(None, None, -1)
    other = made(data, names[turned], groups[turned], weights[turned], [], batches=4 * lanes)
    more = Mixture({"zero": Source(data.path((5,)), 0), **other.sources}, batches=4 * lanes)
    assert one == by_name(other) == {name: rows for name, rows in by_name(more).items() if name != "zero"}


def test_an_order_that_is_pinned(data):
    """For ever: a change that makes this fail is a new version of mixtures."""
    mixture = made(
        data, ["web", "code", "math"], [(17,), (4, 30), (5,)], [0.7, 0.25, 0.05], [(3, [1, 1, 2])], batches=6
    )
    loader = DataLoader(mixture, batch_size=6, num_shards=2, shuffle=True, shuffle_seed=1)
    assert [rows_of(batch) for batch in loader] == GOLDEN


GOLDEN = [
    [(0, 10), (0, 4), (0, 6), (1, 11), (0, 7), (1, 32)],
    [(0, 14), (0, 11), (1, 30), (1, 16), (0, 9), (0, 16)],
    [(0, 3), (0, 12), (0, 13), (0, 0), (1, 21), (2, 3)],
    [(0, 1), (2, 0), (0, 15), (0, 2), (1, 28), (0, 5)],
    [(2, 0), (0, 6), (2, 4), (1, 13), (0, 1), (2, 3)],
    [(0, 0), (2, 2), (1, 27), (2, 1), (2, 1), (0, 8)],
]
