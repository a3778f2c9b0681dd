"""Speech recognition: engines of the `Asr` Protocol, and stable partials of their hypotheses."""
