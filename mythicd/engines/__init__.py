"""The five engine interfaces: one Protocol per module, with the values it takes and gives.

Callers cannot tell whether an engine runs in this process, in a child process or on another machine. Every engine is
built cheaply, loads in `start()`, and frees everything in `stop()`. Audio is s16le mono PCM throughout.
"""
