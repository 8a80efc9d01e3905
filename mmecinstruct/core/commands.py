"""How the commands `mmec` and `caslie_model` are put together: panels of commands, plain help, exit status.

Help is plain text: it comes twice as fast as with boxes, and an example can be copied from a terminal of any width.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, NoReturn, TypeVar, cast

import typer
from typer.core import TyperGroup

from mmecinstruct.core.console import say
from mmecinstruct.core.disk_errors import explained
from mmecinstruct.core.errors import MmecError
from mmecinstruct.version import __version__

INTERRUPTED = 130  # exit status after Ctrl-C

Function = TypeVar("Function", bound=Callable[..., Any])

# `ClickException`; newer versions of Typer bring their own copy of click.
_CommandLineError = cast(type[Exception], typer.BadParameter.__mro__[2])


class _Group(TyperGroup):
    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command; errors of the command line, which quote it, are shown as messages are."""
        try:
            status = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except _CommandLineError as error:
            if not standalone_mode:
                raise
            found: Any = error
            lines = io.StringIO()
            found.show(lines)
            for line in lines.getvalue().splitlines():
                say(line)
            sys.exit(found.exit_code)
        except typer.Abort:
            if not standalone_mode:
                raise
            say("Aborted.")
            sys.exit(1)
        if not standalone_mode:
            return status
        sys.exit(status if isinstance(status, int) else 0)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [self.get_command(ctx, name) for name in self.list_commands(ctx)]
        shown = [command for command in commands if command is not None and not command.hidden]
        width = max(len(command.name or "") for command in shown)
        panels: dict[str, list[tuple[str, str]]] = {}
        for command in shown:
            row = ((command.name or "").ljust(width), command.get_short_help_str(limit=200))
            panels.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append(row)
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class Panel:
    """Commands that the help lists under one heading.

    Attributes:
        title: The heading.
        app: The Typer app of the commands.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.app = typer.Typer(cls=_Group, rich_markup_mode=None, no_args_is_help=True)

    def command(self, name: str, *examples: str, hidden: bool = False) -> Callable[[Function], Function]:
        """Make a command of the decorated function.

        Args:
            name: The command's name.
            examples: Command lines that the help shows, each on a line of its own.
            hidden: Whether the help leaves the command out.
        """
        return self.app.command(name, epilog=_epilog(examples), rich_help_panel=self.title, hidden=hidden)

    def group(self, name: str, help: str) -> Panel:
        """Add a command that has commands of its own, and return the panel of these."""
        inner = Panel("Commands")
        self.app.add_typer(inner.app, name=name, help=help, rich_help_panel=self.title)
        return inner


def _epilog(examples: Sequence[str]) -> str | None:
    if not examples:
        return None
    # The control character keeps the lines of its paragraph as they are.
    return "\n".join(["Examples:", "", "\b", *(f"  {example}" for example in examples)])


def _print_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        print(f"{ctx.command.name} {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def make_app(name: str, help: str, panels: Iterable[Panel], *examples: str) -> typer.Typer:
    """Return a command line of these panels, with `--version`, `-h` and shell completion.

    Args:
        name: The command's name.
        help: Its purpose.
        panels: Its commands, in the order of the help.
        examples: Command lines that its help shows.
    """
    app = typer.Typer(
        name=name,
        cls=_Group,
        help=help,
        epilog=_epilog(examples),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    app.callback()(_options)
    for panel in panels:
        app.add_typer(panel.app)
    return app


def run_app(app: Callable[[], Any], end: Callable[[int], NoReturn] = sys.exit) -> None:
    """Run a command line and end the process: 1 after a known error, 2 after a wrong option, 130 after Ctrl-C.

    Args:
        app: The command line.
        end: Ends the process with an exit status.
    """
    try:
        # Ends with SystemExit where nothing else is raised.
        app()
    except MmecError as error:
        say(f"error: {error}")
        end(1)
    except OSError as error:
        say(f"error: {explained(error)}")
        end(1)
    except MemoryError:
        say("error: memory does not suffice; close other programs or give fewer --workers")
        end(1)
    except RecursionError:
        say("error: a file or an option is nested too deeply to be read")
        end(1)
    except KeyboardInterrupt as error:
        # `tell_what_is_kept` has said more already.
        if not error.args:
            say("interrupted")
        end(INTERRUPTED)
    except SystemExit as exit:
        if not isinstance(exit.code, int):
            raise
        end(exit.code)
