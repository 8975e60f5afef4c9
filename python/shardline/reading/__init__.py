"""From the core's reader to batches.

`column_specs`: the options of columns, as the core's projection. `vocabulary`: the vocabularies that columns get from the
data. `epoch_source`: what an epoch is read from. `batch_source`: the reader's batches, one at a time. `convert` and
`jagged`: a run of the core as tensors, arrays or record batches. `transform`: the caller's functions, seeded by batch.
"""
