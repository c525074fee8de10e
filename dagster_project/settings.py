"""Where this process reads and writes, and with which profile: the one place that looks at the environment."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resources.profile import Profile, chosen_profile

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Settings:
    """The profile, the folder of published data, the lake and Dagster's home."""

    profile: Profile
    raw: Path
    lake: Path
    home: Path
    is_sample: bool


def settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """`MUSIC_PROFILE`, `MUSIC_RAW`, `MUSIC_LAKE` and `MUSIC_MODELS` with their defaults.

    Without `MUSIC_RAW` the sample world is read. Each profile and each folder of published data has its own lake, and
    each lake its own Dagster home inside it, so that histories never mix.
    """
    profile = chosen_profile(environment)
    models = environment.get("MUSIC_MODELS", "")
    models_folder = Path(models).expanduser().resolve() if models else PROJECT / profile.models
    profile = profile.model_copy(update={"models": str(models_folder)})
    data = PROJECT / "data" / profile.name
    given = environment.get("MUSIC_RAW", "")
    raw = Path(given).expanduser().resolve() if given else data / "sample"
    name = f"lake-{raw.name}-{hashlib.sha256(str(raw).encode()).hexdigest()[:8]}" if given else "lake"
    if "://" in environment.get("MUSIC_LAKE", ""):
        raise ValueError(
            f"MUSIC_LAKE={environment['MUSIC_LAKE']}: the lake must be a folder; object stores are not supported"
        )
    lake = Path(environment.get("MUSIC_LAKE") or data / name).expanduser().resolve()
    return Settings(profile, raw, lake, lake / ".dagster", not given)
