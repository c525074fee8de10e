"""`python -m resources.sample.checkpoints --out models`: tiny random checkpoints, and the settings that choose them."""

import argparse
from importlib import import_module
from pathlib import Path

MODELS = ("whisper", "musicfm", "clap", "lp_musiccaps", "nv_embed", "sentence_model", "chat_model", "llama")


def write_all(models: Path, *, seed: int = 7) -> dict[str, str]:
    """Writes a tiny checkpoint of every model under `models`; the environment that makes the profile use them."""
    environment = {"MUSIC_MODELS": str(models.resolve())}
    for name in MODELS:
        environment |= import_module(f"resources.sample.checkpoints.{name}").write(models, seed=seed)
    return environment


def main() -> None:
    """Writes them and prints what to set, as lines for a shell."""
    parser = argparse.ArgumentParser(prog="python -m resources.sample.checkpoints", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder to write to (default: models)")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    for name, value in sorted(write_all(arguments.out, seed=arguments.seed).items()):
        print(f"export {name}={value}")


if __name__ == "__main__":
    main()
