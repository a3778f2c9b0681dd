"""Tools for people who write worlds: import of other programs' characters, checks, and new worlds."""
