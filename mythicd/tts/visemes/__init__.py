"""Visemes: speech sounds (IPA) to mouth shapes in the set that a client asked for."""
