"""The five engine interfaces: one Protocol for each module, with its values.

An engine may run in this process, in a child process or on another machine. Its constructor is cheap; it loads in
`start()` and frees everything in `stop()`. Audio is s16le mono PCM throughout.
"""
