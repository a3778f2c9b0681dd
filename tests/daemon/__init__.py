"""The whole daemon, as a process, over its real socket, with the real engines of the starter profile."""
