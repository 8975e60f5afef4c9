"""What the ranks of a job tell each other. A job of one process uses `ranks` only.

- `ranks`: which rank this process is, and which processes it can talk to.
- `kv_store`: messages through the key-value store of the process group.
- `plan_broadcast`: one plan and seed for all ranks.
- `row_counts`: the rows that pass a filter, counted by all ranks together.
- `state_check`: ranks that loaded a state must stand at the same place.
"""
