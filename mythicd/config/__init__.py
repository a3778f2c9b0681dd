"""Configuration: settings and world files, read and checked."""
