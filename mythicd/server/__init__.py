"""The daemon's process: start-up order, WebSocket server, client connections."""
