"""What a machine gets: engines built from the settings."""
