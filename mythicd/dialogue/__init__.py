"""Dialogue policies of one character: states, turn-taking, prompt, history, checks on replies, and tool calls."""
