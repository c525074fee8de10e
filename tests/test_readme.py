"""What README shows runs."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_every_path_of_the_map_exists() -> None:
    """Files and folders that README names in its map are there."""
    text = README.read_text(encoding="utf-8")
    block = re.search(r"## The map\n\n```text\n(.*?)```", text, re.DOTALL)
    assert block
    names = re.findall(r"\b([a-z_]+\.(?:py|json))\b", block[1])
    assert names
    for name in names:
        assert [*README.parent.glob(f"*/{name}"), *README.parent.glob(f"assets/*/{name}")], name
