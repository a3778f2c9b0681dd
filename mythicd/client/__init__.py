"""Clients of the daemon: the reference client and `mythicd talk`."""
