"""Whether a saved state fits a mixture, and what the run then does."""

from dataclasses import dataclass, replace
from typing import cast

from shardline._core import ORDER_VERSION, Legs, MixedLegs
from shardline.errors import ShardlineValueError
from shardline.mixture.mixture import Mixture
from shardline.mixture.opening import OpenedSource
from shardline.mixture.order import MixedSource
from shardline.mixture.run import MixtureRun, end_row, plain_weights, saved_source
from shardline.planning.shuffle import Shuffle
from shardline.settings import Settings
from shardline.state.format import Difference, SavedState, mismatch
from shardline.state.leg import legs_of
from shardline.state.mixed import SavedMixture
from shardline.state.resume import Resumption, pack_differences, run_shards, shuffle_differences


@dataclass(frozen=True)
class MixedResumption(Resumption):
    """All that a load changes."""

    run: MixtureRun
    opened: list[OpenedSource]
    shuffles: list[Shuffle]
    source: MixedSource


def resume_mixture(
    saved: SavedState,
    mixture: Mixture,
    opened: list[OpenedSource],
    here: MixedSource,
    settings: Settings,
    *,
    strict: bool,
) -> MixedResumption:
    """The mixture's sources, weights and legs after loading `saved`.

    Args:
        saved: The state.
        mixture: As it was given here.
        opened: The sources that there are here.
        here: What is read at present.
        settings: Those of all sources.
        strict: The batches to come must be those that the saved run would have delivered.

    Raises:
        CheckpointMismatchError: It does not fit.
    """
    rows, entry = saved.rows, saved.rows.mixture
    if entry is None:
        there = "one data set"
        raise mismatch([Difference("mixture", there, "a mixture", "load the state into a loader of the path itself")])
    differences: list[Difference | str] = []
    if rows.order_version != ORDER_VERSION:
        cure = "use the shardline that saved the state"
        raise mismatch([Difference("order version", rows.order_version, ORDER_VERSION, cure)])
    seed = rows.seed if settings.shuffle_seed is None else here.order.seed
    if rows.seed != seed:
        differences.append(Difference("seed", rows.seed, seed, f"give shuffle_seed={rows.seed}"))
    differences += shuffle_differences(rows.shuffle, settings)
    differences += pack_differences(rows.pack, here.order.pack)
    num_shards = run_shards(saved, settings)
    run = MixtureRun(entry)
    by_name = {each.name: each for each in opened}
    known = set(run.names)
    job_rows = sum(leg.delivered * leg.batch_size for leg in saved.legs)
    differences += _weight_differences(entry, mixture, known)
    chosen: list[OpenedSource] = []
    shuffles: list[Shuffle] = []
    for number, each in enumerate(entry.sources):
        source = by_name.get(each.name)
        if source is None:
            if run.reads_from(number, job_rows):
                cure = f"give it again, or call set_weights({{{each.name!r}: 0}}) in the run before its state is saved"
                differences.append(
                    Difference(f"source {each.name!r}", "there, with a weight to come", "not there", cure)
                )
            # It is counted with, and never read: another stands in its place.
            source = opened[0]
            shuffles.append(source.shuffle(num_shards))
            chosen.append(source)
            continue
        shuffle = source.shuffle(num_shards)
        shuffle = replace(shuffle, strands=each.strands, windows=each.windows)
        present = saved_source(source, source.shuffle(num_shards))
        if (present.rows, present.digest) != (each.rows, each.digest):
            cure = "put its files, filters and sample back as they were, or start afresh"
            differences.append(
                Difference(
                    f"rows of source {each.name!r}",
                    f"{each.rows:,} (digest {each.digest})",
                    f"{present.rows:,} (digest {present.digest})",
                    cure,
                )
            )
        if present.epochs != each.epochs:
            cure = f"give epochs={each.epochs} as it was"
            differences.append(Difference(f"epochs of source {each.name!r}", each.epochs, present.epochs, cure))
        shuffles.append(shuffle)
        chosen.append(source)
    if strict:
        differences += _strict_differences(saved, settings, num_shards)
    if differences:
        raise mismatch(differences)
    joining = [each for each in opened if each.name not in known]
    joined = [each.shuffle(num_shards) for each in joining]
    run = run.with_sources([saved_source(each, shuffle) for each, shuffle in zip(joining, joined, strict=True)])
    chosen, shuffles = chosen + joining, shuffles + joined
    try:
        run = _with_end(run, saved, mixture, settings)
        source_here = MixedSource.of(chosen, shuffles, settings, seed, run.schedule)
        legs = MixedLegs(run.core(), settings.num_ranks, [*saved.legs])
        first = MixedLegs.start(run.core(), settings.num_ranks, num_shards, settings.batch_size, settings.drop_last)
    except (ShardlineValueError, OverflowError) as error:
        raise mismatch([f"the position saved is not one of this mixture: {error}"]) from error
    what, sentence, legs = _place(saved, legs, settings)
    if strict and what not in ("goes on", "ended"):
        raise mismatch([f"ranks: {settings.num_ranks} cannot go on from here; give ranks that divide, or strict=False"])
    order = source_here.order
    return MixedResumption(
        order=order,  # type: ignore[arg-type]
        fresh=order,  # type: ignore[arg-type]
        num_shards=num_shards,
        first=cast(Legs, first),
        epoch=saved.epoch,
        legs=cast(Legs, legs),
        ended=saved.ended,
        what=what,
        added=[],
        sentence=sentence,
        asked=saved.asked,
        run=run,
        opened=chosen,
        shuffles=shuffles,
        source=source_here,
    )


def _weight_differences(entry: SavedMixture, mixture: Mixture, known: set[str]) -> list[Difference]:
    """Weights and schedule are the state's: those given must be the ones that the run was given."""
    found = []
    asked = mixture.events(1)
    for number, name in enumerate(mixture.names):
        weights = [event[1] if len(event) == 2 else event[2] for event in asked]
        if name not in known and any(each[number] for each in weights):
            cure = (
                f"to let it join, give it weight=0 here, load the state, and call set_weights({{{name!r}: …}}); or "
                "leave it out"
            )
            found.append(Difference(f"source {name!r}", "not there", "there", cure))
    there = plain_weights(entry.asked, [each.name for each in entry.sources])
    here = plain_weights(asked, mixture.names)
    # Of a source that joins, or that has left, there is nothing to compare.
    both = known.intersection(mixture.names)
    there, here = (
        [[*event[:-1], {name: w for name, w in event[-1].items() if name in both}] for event in events]
        for events in (there, here)
    )
    if there != here:
        cure = "give weights and schedule= as the run began with; after the load set_weights() changes them"
        found.append(Difference("weights", there, here, cure))
    return found


def _strict_differences(saved: SavedState, settings: Settings, num_shards: int) -> list[Difference]:
    last = saved.legs[-1]
    return [
        Difference(name, then, now, f"give {name}={then}, or strict=False to begin a new leg")
        for name, then, now in (
            ("batch_size", last.batch_size, settings.batch_size),
            ("drop_last", last.drop_last, settings.drop_last),
            ("num_shards", saved.num_shards, num_shards),
        )
        if then != now
    ]


def _with_end(run: MixtureRun, saved: SavedState, mixture: Mixture, settings: Settings) -> MixtureRun:
    """The end that is asked for here: the state's, unless it is another."""
    there = run.saved
    if mixture.end is None:
        return MixtureRun(there._replace(end=None, stop=mixture.stop))
    if there.end is not None and tuple(there.end[:2]) == mixture.end:
        return MixtureRun(there._replace(stop=mixture.stop))
    row = end_row(mixture, settings)
    if mixture.end[0] == "batches":
        delivered = sum(leg.delivered for leg in saved.legs)
        rows = sum(leg.delivered * leg.batch_size for leg in saved.legs)
        row = rows + max(0, mixture.end[1] - delivered) * settings.batch_size
    return MixtureRun(there._replace(end=[*mixture.end, row], stop=mixture.stop))


def _place(saved: SavedState, legs: MixedLegs, settings: Settings) -> tuple[str, str, MixedLegs]:
    """What the run does, in a word and in a sentence, and its legs."""
    done = (legs.delivered_before + legs.delivered) // settings.num_ranks
    if saved.ended:
        return "ended", f"begins epoch {saved.epoch + 1}: the end of epoch {saved.epoch} was seen", legs
    if legs.is_complete:
        said = f"stands at the end of epoch {saved.epoch}, which was not seen yet: the next iteration delivers nothing"
        return "ended", said, legs
    legs, what = legs.resume(
        settings.num_ranks,
        saved.num_shards,
        num_shards=settings.num_shards,
        batch_size=settings.batch_size,
        drop_last=settings.drop_last,
    )
    if what == "over":
        return what, f"ends epoch {saved.epoch}: fewer batches are left than ranks ({settings.num_ranks})", legs
    to_come = "batches without an end" if legs.is_endless else f"{legs.num_batches - legs.delivered:,} batches"
    if what == "goes on":
        return what, f"goes on in its leg: epoch {saved.epoch}, step {done:,}, {to_come} of all ranks to come", legs
    cut = legs_of(cast(Legs, legs))[-1]
    said = (
        f"begins a new leg after step {done:,} of epoch {saved.epoch}: the sources go on in {cut.num_shards:,} shards "
        f"and batches of {cut.batch_size:,} rows, {to_come} of all ranks to come"
    )
    return what, said, legs
