"""Devices: what each can hold and run (``profiles/``), and runners that execute a bundle's files on or for them."""
