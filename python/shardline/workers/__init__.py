"""Worker processes (`num_workers` > 0), which run the caller's functions on batches that this process has decoded.

- `shared_memory`: a batch in one block of shared memory.
- `channel`: messages to and from a worker.
- `signals`: what is meant for the job does not end its workers.
- `process`: what runs in a worker.
- `last_words`, `launch`: how a process is started, and what it says where that fails.
- `handle`: one worker as its caller sees it.
- `pool`: the processes, and the batches that pass through them.
"""
