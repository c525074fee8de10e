"""Where later stages find the normal forms of names; `sources` needs them first, so they live there."""

from assets.sources.identity import artist_form, bucket_of, buckets_of, normalised, title_form

__all__ = ["artist_form", "bucket_of", "buckets_of", "normalised", "title_form"]
