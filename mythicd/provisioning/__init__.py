"""Provisioning: engines are chosen and built from the settings."""
