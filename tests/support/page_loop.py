"""The loops of a page of docs/frameworks: each is a program that runs as it stands there."""

import re
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "frameworks"
LONGEST = 25
"""Lines of a loop that stands on a page."""


def loops(page: str) -> list[str]:
    """The page's Python blocks that train, none of them too long."""
    blocks = re.findall(r"^```python\n(.*?)^```", (PAGES / page).read_text(), re.DOTALL | re.MULTILINE)
    found = [block for block in blocks if "shardline.DataLoader(" in block]
    for block in found:
        assert len([line for line in block.splitlines() if line.strip()]) <= LONGEST, block
    return found
