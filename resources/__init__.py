"""With what: one file a need. Providers, the lake, and the profile that holds every number that changes with scale."""
