"""gatebook logs"""

import sys
import time

import click

from gatebook.cli.stack_option import data_option, stack

_POLL_S = 0.2


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until the stack ends.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Only the last so many lines of each.")
@click.option("--no-log-prefix", is_flag=True, help="Without the part's name before each line.")
@data_option
def logs(names: tuple[str, ...], follow: bool, tail: int | None, no_log_prefix: bool, data: str | None) -> None:
    """Show what the parts said: lb, webapp-1 and so on (webapp: all), viewer, db, runner.

    `access` is the load balancer's log of requests, shown only when asked for. What is secret by its name is masked in
    the targets that it and others tell of.

    \b
    gatebook logs -f
    gatebook logs --tail 20 webapp
    gatebook logs -f access --no-log-prefix
    """
    settings, folder = stack(data)
    from gatebook.errors import UserError
    from gatebook.redact import Redaction
    from gatebook.stack import control
    from gatebook.stack import logs as files

    folder.check()
    reader = files.Reader(folder.logs, names)
    unknown = [name for name in names if not files.Reader(folder.logs, [name]).paths()]
    if unknown:
        known = sorted(path.stem for path in folder.logs.glob("*.log"))
        raise UserError(f"there is no log of {unknown[0]}", f"one of: {', '.join(known)}")
    prefix, redaction = files.Prefix(sys.stdout.isatty()), Redaction(settings.redact)

    def show(name: str, line: str) -> None:
        line = redaction.text(line)
        click.echo(line if no_log_prefix else prefix.line(name, line))

    for name, line in reader.last(tail):
        show(name, line)
    while follow:
        follow = control.is_up(folder)  # asked first, so that the last words are still read
        for name, line in reader.new():
            show(name, line)
        time.sleep(_POLL_S)
