"""The protocol without sockets: messages, frames, codec, session rules, discovery."""
