"""All commands, imported in the order in which help lists them: each adds itself to `app`."""

from shardline.cli import head, info, plan, shuffle_quality, state, stats  # noqa: F401
