"""Random histories of training loops: stopped anywhere, loaded, continued by another loop, ranks, shards or workers.

What each life delivers is compared with what its loop is entitled to (`support.loops`), batch by batch; where an epoch
was cut anew, every row of it comes once. An empty pass that a loop did not ask for is warned of.
"""

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, reading, write_rows
from support import functions as f
from support.loops import ALONE, END, OWN, UNSOUND, Place, Trainer, entitled

import shardline
from shardline import DataLoader, StructuredDataset

EPOCHS = 3


class Cut(NamedTuple):
    """What the job's batches depend on."""

    num_shards: int
    batch_size: int
    drop_last: bool


class Life(NamedTuple):
    """One process, or one job of several ranks."""

    loop: str
    ranks: int
    cut: Cut
    workers: int
    before: str
    stop: int
    save_every: int
    whose: int
    limit: int | None


files = st.lists(st.lists(st.integers(1, 15), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple)
shuffles = st.one_of(
    st.just({"shuffle": False}),
    st.fixed_dictionaries(
        {
            "shuffle": st.just(True),
            "shuffle_seed": st.sampled_from([0, 42]),
            "shuffle_buffer_size": st.sampled_from([0, 8, None]),
        }
    ),
)
cuts = st.builds(Cut, st.sampled_from([1, 2, 3, 4, 6]), st.integers(1, 6), st.booleans())


@st.composite
def histories(draw: Any) -> list[Life]:
    first = draw(cuts)
    alone = draw(st.sampled_from([None, None, None, *ALONE]))
    changes = draw(st.sampled_from(["nothing", "ranks", "all"]))
    loops = [alone] if alone else [loop for loop in OWN if changes == "nothing" or loop not in UNSOUND]
    limit = None
    if alone == "limited" or (alone == "lightning" and draw(st.booleans())):
        changes, limit = "nothing", draw(st.integers(1, 6))
    divisors = [ranks for ranks in (1, 2, 3) if first.num_shards % ranks == 0]
    ranks, cut, lives = draw(st.sampled_from(divisors)), first, []
    for _ in range(draw(st.integers(1, 4))):
        if changes == "ranks":
            ranks = draw(st.sampled_from(divisors))
        elif changes == "all":
            cut = draw(st.one_of(st.just(cut), cuts))
            ranks = draw(st.sampled_from([each for each in (1, 2, 3) if cut.num_shards % each == 0]))
        lives.append(
            Life(
                loop=draw(st.sampled_from(loops)),
                ranks=ranks,
                cut=cut,
                workers=draw(st.sampled_from([0] * 30 + [1, 2])),
                before=draw(st.sampled_from(["", "", "iter", "peek", "load twice"])),
                stop=draw(st.integers(0, 25)),
                save_every=draw(st.sampled_from([1, 1, 2, 3])),
                whose=draw(st.integers(0, 2)),
                limit=limit,
            )
        )
    return lives


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(groups):
        if groups not in made:
            made[groups] = write_rows(tmp_path_factory.mktemp("loops"), [list(sizes) for sizes in groups])
        return made[groups]

    return folder


class Whole:
    """Runs that are never stopped."""

    def __init__(self, folder: Any, shuffle: dict[str, Any], num_shards: int) -> None:
        """`num_shards`: of the life that the run began in, from which the order was resolved."""
        self.dataset = StructuredDataset(folder, batch_size=1, **shuffle)
        self.plan, self.shuffle, self.made = self.dataset.plan, shuffle, {}
        self.num_shards = num_shards

    def epoch(self, cut: Cut, epoch: int) -> list[list[int]]:
        """The job's batches."""
        if (cut, epoch) not in self.made:
            options = {"plan": self.plan, "columns": ["i"], **self.shuffle}
            first = StructuredDataset(batch_size=1, num_shards=self.num_shards, **options)
            dataset = StructuredDataset(**cut._asdict(), **options)
            dataset.load_state_dict(first.state_at(0, epoch))
            self.made[cut, epoch] = [batch["i"].tolist() for batch in dataset]
        return self.made[cut, epoch]

    def line(self, epoch: int) -> list[int]:
        """Its rows, each at its position."""
        return [row for [row] in self.epoch(Cut(1, 1, False), epoch)]


def steps(batches: list[list[int]], ranks: int) -> list[list[list[int]]]:
    return [batches[at : at + ranks] for at in range(0, len(batches), ranks)]


def make(whole: Whole, life: Life) -> list[DataLoader]:
    options = {**life.cut._asdict(), **whole.shuffle, "plan": whole.plan, "num_ranks": life.ranks, "columns": ["i"]}
    if life.workers:
        options |= {"transform": f.identity, "num_workers": life.workers, "multiprocessing_context": "fork"}
    return [DataLoader(rank=rank, **reading(life.stop, rank), **options) for rank in range(life.ranks)]


def begin(loaders: list[DataLoader], state: Any, before: str, more: bool) -> None:
    """Loads the state, and does what a script may do before its loop."""
    for loader in loaders:
        if state is not None:
            loader.load_state_dict(state)
        if before == "iter":
            iter(loader)
        if before == "peek" and more:
            next(iter(loader))
        if before == "load twice" and state is not None:
            loader.load_state_dict(state)


def run(
    whole: Whole, life: Life, place: Place, trainer: Trainer, state: Any
) -> tuple[Place, Trainer, Any, tuple[int, int]]:
    """What was saved last, after so many events of a loop, each checked."""
    loaders = make(whole, life)
    saved = place, trainer, state
    changed = place.cut not in (None, life.cut) or len(place.taken) % life.ranks != 0
    begin(loaders, state, "" if life.before == "peek" else life.before, False)
    complete = place.rest == 0 or place.ended
    if place.taken and not complete and (changed or place.cut is None):
        rest: list[Any] = [None] * loaders[0].remaining
        place = replace(place, cut=None, rest=len(rest))
    elif complete:
        rest = []
    else:
        rest = steps(whole.epoch(life.cut, place.epoch), life.ranks)[len(place.taken) // life.ranks :]
        place = replace(place, cut=life.cut, rest=len(rest))
    if life.before == "peek" and life.loop not in ("enumerated", "limited", "lightning"):  # these ask for batch_index
        begin(loaders, state, "peek", len(rest) > 1)
    over = not rest and not complete and bool(place.taken)
    loop = (OWN | ALONE)[life.loop]
    events = entitled(life.loop, place, trainer, rest, lambda epoch: steps(whole.epoch(life.cut, epoch), life.ranks))
    loops = [loop(loader, replace(trainer)) for loader in loaders]
    empty = left = 0
    for number in range(1, life.stop + 1):
        found = [next(each, None) for each in loops]
        expected = next(events, None)
        if expected is None:
            assert found == [None] * life.ranks, "the loop goes on"
            break
        assert [each is END for each in found] == [expected.end] * life.ranks, (number, expected)
        rows = [] if expected.end else [batch["i"].tolist() for batch in found]
        if expected.rows is not None:
            assert rows == expected.rows
        place = place.after(expected, rows, life.cut)
        if place.rest is None:
            place.rest = len(steps(whole.epoch(life.cut, place.epoch), life.ranks)) - 1
        trainer = replace(trainer, step=trainer.step + (not expected.end), epoch=place.epoch)
        empty += expected.warned and not over
        left += expected.left
        if expected.end and trainer.limit is None:
            check_complete(whole, place, loaders[0])
        if number % life.save_every == 0:
            saved = place, trainer, loaders[life.whose % life.ranks].state_dict()
    return *saved, (empty, left)


def check_complete(whole: Whole, place: Place, loader: DataLoader) -> None:
    line = whole.line(place.epoch)
    left = [line[at] for start, stop in loader.left_out() for at in range(start, stop)]
    assert sorted(sum(place.taken, left)) == sorted(line), "every row once, or left out by name"


@examples(250)
@given(files, shuffles, histories())
def test_random_loops(folders, groups, shuffle, history):
    place, trainer, state = Place(), Trainer(EPOCHS, history[0].limit), None
    for number, life in enumerate(history):
        if number == len(history) - 1:
            life = life._replace(stop=10_000, save_every=1)
        if state is None:
            whole = Whole(folders(groups), shuffle, life.cut.num_shards)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                place, trainer, state, expected = run(whole, life, place, trainer, state)
            except shardline.ShardlineValueError as error:
                if not any(words in str(error) for words in ("no step", "no full batch", "fewer than")):
                    raise
                assume(False)
        said = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
        found = [sum(words in each for each in said) for words in ("delivers nothing", "leaves the loaded place")]
        assert found == [count * life.ranks for count in expected], said
