"""How the corpus is cut: one definition each, shared by every asset that is cut that way.

Counts come from the profile when definitions load; changing one has the tables cut anew.
"""

import os

import dagster as dg

from resources import m3_settings
from resources.profile import chosen_profile

_profile = chosen_profile(os.environ)
_counts = _profile.partitions

MPD_SLICES = dg.DynamicPartitionsDefinition(name="mpd_slice")
LISTENER_BUCKETS = dg.StaticPartitionsDefinition(
    [f"listeners_{number:03d}" for number in range(_counts.listener_buckets)]
)
TRACK_SHARDS = dg.StaticPartitionsDefinition([f"shard_{number:03d}" for number in range(_counts.track_shards)])
MODALITIES = dg.StaticPartitionsDefinition(["playlist", "semantic", "metadata", "lyrics", "audio"])
M3_MODALITIES = dg.StaticPartitionsDefinition(list(m3_settings.M3_MODALITIES))
TALKPLAY_VARIANTS = dg.StaticPartitionsDefinition(_profile.variants.talkplay)
