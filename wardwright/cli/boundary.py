"""Where faults become exit codes: the one place that decides how a command that failed says so.

Exit codes: 0 done, 1 failed, 2 wrong use (a configuration with problems included), 130 interrupted.
"""

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from wardwright.cli.terminal import counted, tell

if TYPE_CHECKING:
    from wardwright.config.problems import ConfigError


class Boundary(TyperGroup):
    """The outermost group of commands: faults that the product knows by name end here, bugs go through."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        from wardwright.config.problems import ConfigError
        from wardwright.domain.errors import WardwrightError

        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _tell_problems(error)
            raise typer.Exit(2) from error
        except WardwrightError as error:
            tell(f"wardwright: {error.message}")
            raise typer.Exit(1) from error


def _tell_problems(error: "ConfigError") -> None:
    for problem in error.problems:
        tell(str(problem))
    tell(f"wardwright: {counted(len(error.problems), 'problem')} in {error.source}")
