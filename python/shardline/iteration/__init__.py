"""One epoch's iterator.

- `shutdown`: what the interpreter's exit waits for.
- `timing`: where the time of a loop goes.
- `iterator`: hands out batches and counts them.
- `batch_id`: which batch of the epoch an iterator's n-th is.
- `pipeline`: the reader's batches, after the caller's functions.
- `shared_dict`: a dict shared between processes.
- `torch_workers`: how the workers of torch's own loaders, each with a replica of the dataset, share an epoch.
- `report`: where an epoch's time went.
- `epoch`: how an iterator begins.
"""
