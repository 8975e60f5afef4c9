"""How well an order mixes the rows of its data, measured from positions.

- `sampling`: the rows of sampled batches and windows
- `figures`: ratios to a uniform shuffle
- `column`: the values of a column in sampled rows
- `report`: `shuffle_quality()` and its report
"""

from shardline.quality.report import ShuffleQuality, shuffle_quality

__all__ = ["ShuffleQuality", "shuffle_quality"]
