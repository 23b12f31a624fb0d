"""``divfast doctor``."""

from __future__ import annotations

from typing import Any

import click

from divfast.cli import options


@click.command()
@options.formats("table", "json")
@options.debug
def doctor(form: str | None) -> None:
    """Tell what works here, what does not, and why.

    Versions, the backends of every metric, extras that are missing and how to get them, sandboxes, the GPU, the cache.

    \b
    Example:
      divfast doctor --format json
    """
    from divfast.cli import flat
    from divfast.diagnosis import diagnose

    found = diagnose()
    click.echo(flat.as_json(found) if form == "json" else _text(found))


def _text(found: dict[str, Any]) -> str:
    from rich.filesize import decimal

    from divfast.cli import render

    here = [
        ["divfast", f"{found['divfast']} on Python {found['python']}, {found['platform']}"],
        ["threads", f"{found['threads']} of {found['cores']} cores"],
        ["gpu", _gpu(found["gpu"], decimal)],
        ["minilm", found["minilm"].get("reason") or f"works, {found['minilm']['version']}"],
        ["sandbox", "; ".join(f"{way} {reason or 'works'}" for way, reason in found["sandbox"].items())],
        ["cache", _cache(found["cache"], decimal)],
    ]
    backends = [
        [metric, *((reason or "works").removeprefix(f"{metric} has ") for reason in places.values())]
        for metric, places in found["backends"].items()
    ]
    packages = [[name, version or "not installed"] for name, version in found["packages"].items()]
    extras = [
        [name, "complete" if not extra["missing"] else f"no {', '.join(extra['missing'])}", extra["install"]]
        for name, extra in found["extras"].items()
    ]
    places = list(next(iter(found["backends"].values())))
    return "\n\n".join(
        [
            render.table(["here", ""], here, wrap=("",)),
            render.table(["metric", *places], backends, wrap=places),
            render.table(["package", "version"], packages),
            render.table(["extra", "here", "how to get it"], extras, wrap=("here",)),
        ]
    )


def _gpu(gpu: dict[str, Any], decimal: Any) -> str:
    if not gpu["works"]:
        return f"none: {gpu['reason']}"
    return ", ".join(f"{device['name']} ({decimal(device['bytes'])})" for device in gpu["devices"])


def _cache(cache: dict[str, Any], decimal: Any) -> str:
    from divfast.cli import render

    if cache["reason"]:
        return f"{cache['folder']} {cache['reason']}"
    return f"{cache['folder']}, {decimal(cache['bytes'])} in {render.many(cache['files'], 'file')}"
