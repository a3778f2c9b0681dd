"""Language knowledge that several packages share."""
