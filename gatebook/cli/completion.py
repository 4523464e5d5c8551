"""gatebook completion"""

import click

from gatebook.cli import ending


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@ending.quietly()
def completion(shell: str) -> None:
    """Print what lets a shell complete commands and filters.

    \b
    gatebook completion fish > ~/.config/fish/completions/gatebook.fish     once
    eval "$(gatebook completion bash)"                                      in ~/.bashrc
    eval "$(gatebook completion zsh)"                                       in ~/.zshrc, after compinit
    """
    from gatebook.cli import shells

    click.echo(shells.script(shell), nl=False)
