"""What the user wrote: settings and world files, read and checked."""
