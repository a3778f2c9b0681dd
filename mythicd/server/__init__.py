"""The server: start-up order, WebSocket server, client connections."""
