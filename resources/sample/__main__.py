"""Write a sample world: `python -m resources.sample --out DIR`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from resources.sample.world import WorldSize, make_world


def main(arguments: Sequence[str]) -> None:
    """Write the world that the command line asks for and print what it holds."""
    defaults = WorldSize()
    parser = argparse.ArgumentParser(prog="python -m resources.sample", description="Write a made-up music world.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the world; it may not exist yet")
    parser.add_argument("--playlists", type=int, default=defaults.playlists)
    parser.add_argument("--tracks", type=int, default=defaults.tracks)
    parser.add_argument("--listeners", type=int, default=defaults.listeners)
    parser.add_argument("--plays", type=int, default=defaults.plays, help="over all listeners")
    parser.add_argument("--playlist-length", type=float, default=defaults.playlist_length, help="mean, in tracks")
    parser.add_argument("--slice-size", type=int, default=defaults.slice_size, help="playlists in one slice file")
    parser.add_argument("--audio-s", type=float, default=defaults.audio_s, help="seconds of one recording")
    parser.add_argument("--no-audio", dest="with_audio", action="store_false")
    parser.add_argument("--seed", type=int, default=7)
    chosen = vars(parser.parse_args(arguments))
    out, seed = chosen.pop("out"), chosen.pop("seed")
    summary = make_world(out, size=WorldSize(**chosen), seed=seed)
    lines = [
        f"{name.replace('_', ' '):>20} {count:>12,}" for name, count in asdict(summary).items() if name != "is_new"
    ]
    state = "written" if summary.is_new else "already there with these settings; nothing written"
    sys.stdout.write(f"{out}: {state}\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
