"""The state: where a run stands, as a plain dict.

- `format`: the dict: built, checked and described.
- `progress`: the place in an epoch, and what moves it.
- `resume`: whether a saved state fits a dataset, and what the dataset then does.
- `torchdata`: the state of torchdata's StatefulDataLoader, made into the job's.
"""
