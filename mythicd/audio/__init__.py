"""Samples: PCM arithmetic, wav files, gaps, clocks."""
