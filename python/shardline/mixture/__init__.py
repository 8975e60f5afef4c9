"""Mixtures: batches whose rows come from several sources, by weights that may change.

How a lane is read. A mixture has V lanes, as a data set has V shards, and in each the same numbers of rows come from
each source: `rust/core/src/order/mixture` says how many there are among a lane's first rows, and which rows of the
source's lines they are, both by arithmetic. A source is a plan of its own, with its own line and nothing in the state.
One core reader (`assemble/mixed_reader.rs`) has a schedule of chunks a source, one crew of threads and one budget for
all of them. The rows of some batches of a lane are put into one block, in the order of a key: one gather a column.

- `source`, `schedule`, `mixture`: what a user says: `Source`, `At` and `Ramp`, `Mixture`.
- `opening`: the plans of the sources, and whether their batches have one form.
- `order`: what an epoch of a mixture is read from, in place of `planning.epoch_order` and `reading.epoch_source`.
- `state`: the mixture in a state; `resume`: whether a saved one fits, and how a run goes on.
- `transform`: functions of the rows of single sources.
- `context`: where a mixture stands, and `set_weights`; `view`: what was taken of each source.
- `dataset`: `MixtureDataset`, which a loader of a mixture has.
"""
