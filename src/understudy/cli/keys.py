"""``understudy keys``: the key that signs bundles, and key pairs that encrypted bundles are made for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.output import JsonFlag, print_json
from understudy.errors import InputError, SetupError


def keys(
    name: Annotated[
        Path | None, typer.Argument(metavar="NAME", help="A device or device class: writes NAME.key and NAME.pub.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the public key of this user's signatures, or make a key pair for a device.

    Without NAME the public key goes to standard output, for --trust elsewhere.

    With NAME two files are written: NAME.key stays secret and goes into the device, NAME.pub is what --encrypt of compress and
    export takes. Private keys are written with mode 0600 and never replaced.
    """
    if name is None:
        _print_signing_key(as_json=as_json)
        return
    _make_device_keys(name, as_json=as_json)


def _print_signing_key(*, as_json: bool) -> None:
    from understudy.protection.keys import key_id, signing_key, to_pem

    key = signing_key()
    pem = to_pem("public signing key", key.public).decode()
    if as_json:
        print_json({"signing_key": str(key.path), "id": key_id(key.public), "public_key": pem})
        return
    typer.echo(f"signing key {key_id(key.public)} in {key.path}", err=True)
    sys.stdout.write(pem)


def _make_device_keys(name: Path, *, as_json: bool) -> None:
    import os

    from understudy.protection.envelope import public_device_key
    from understudy.protection.keys import key_id, to_pem, write_new

    if name.name in ("", ".."):
        raise InputError(f"a device's keys have a name: received name={str(name)!r}; give one, as understudy keys phone")
    secret = os.urandom(32)
    public = public_device_key(secret)
    private_path, public_path = (name.with_name(name.name + ending) for ending in (".key", ".pub"))
    try:
        write_new(public_path, to_pem("public device key", public), mode=0o644)
        try:
            write_new(private_path, to_pem("private device key", secret))
        except OSError:
            public_path.unlink()  # for what is encrypted for it would open with no key
            raise
    except FileExistsError as error:
        raise SetupError(
            f"a key is never replaced: received name={str(name)!r}, where {error.filename2!r} is there; choose another name"
        ) from None
    except OSError as error:
        raise SetupError(
            f"keys need a folder that can be written: received name={str(name)!r} ({error.strerror}); choose another folder"
        ) from None
    if as_json:
        print_json({"private_key": str(private_path), "public_key": str(public_path), "id": key_id(public)})
        return
    typer.echo(f"{private_path}: private, for the device alone")
    typer.echo(f"{public_path}: public, for --encrypt {public_path} of understudy compress and export")
    typer.echo(f"id {key_id(public)}")
