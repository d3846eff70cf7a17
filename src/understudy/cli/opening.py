"""The options of every verb that opens a bundle: who must have signed it, and what decrypts it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TrustOption = Annotated[
    list[Path] | None,
    typer.Option("--trust", metavar="KEY.pub", help="A public signing key; one of those given must have signed the bundle."),
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="DEVICE.key", help="The private device key that decrypts an encrypted bundle.")
]
