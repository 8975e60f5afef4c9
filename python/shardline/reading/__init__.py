"""From the core's reader to batches.

- `column_specs`: the options of columns, as the core's projection.
- `vocabulary`: the vocabularies that columns get from the data.
- `layout`: what each key of a batch holds.
- `convert`: a run of the core as tensors, arrays or record batches.
- `jagged`: nested tensors out of values and offsets.
- `epoch_source`: what an epoch is read from: order, projection, conversion.
- `transform`: the caller's functions, seeded by batch.
- `batch_source`: the reader's batches, one at a time.
"""
