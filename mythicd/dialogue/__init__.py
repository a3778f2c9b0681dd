"""What a character knows of the conversation, and what it may say and do."""
