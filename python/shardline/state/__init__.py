"""The state: where a run stands, as a plain dict.

- `format`: the dict: built, checked and described. `rows`: the part of it that defines the rows and their order.
  `form`: the checks of single values.
- `progress`: the place in an epoch, and what moves it.
- `match_files`: the files of a saved run among those that there are now.
- `resume`: whether a saved state fits a dataset, and what the dataset then does.
- `announce`: what the log and warnings say of it.
- `torchdata`: the state of torchdata's StatefulDataLoader, made into the job's.
"""
