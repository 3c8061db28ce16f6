"""The detached process that runs one deployment's steps and survives the server; standard library only.

The server writes a ticket into a run folder, starts `__main__.py` and reads the folder; see `spool`.
"""
