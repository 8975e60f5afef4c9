"""The state: where a run stands, as a plain dict.

- `format`: the dict: built, checked and described. `rows`: the part of it that defines the rows and their order.
  `form`: the checks of single values.
- `progress`: the place in an epoch, and what moves it.
- `resume`: whether a saved state fits a dataset, and what the dataset then does.
- `torchdata`: the state of torchdata's StatefulDataLoader, made into the job's.
"""
