"""Scripts for bash and zsh that complete ``bnnsim``: of commands' tables, whose words they have in them.

Behind an option that takes one of some words these are offered, behind one without a value options again, and in all
other places files: what a command reads and writes.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bnnsim.commands.options import Option
from bnnsim.commands.rules import switch

LONGEST = 70                            # letters of what zsh says about an option


@dataclass(frozen=True)
class Command:
    """A command as the scripts see it: its name, what it does, its options."""

    name: str
    text: str
    table: tuple[Option, ...]

    def flags(self) -> list[tuple[str, str]]:
        """(flag, what it does) of all options that have one."""
        found = [(flag, option.help) for option in self.table for flag in flags_of(option)]
        return [*found, ("--help", "what the command does, and all options")]

    def values(self) -> list[tuple[str, list[str]]]:
        """(what stands before it, words) of every option with a value; no words where it is a file or a number."""
        return [(option.typed, choices_of(option)) for option in self.table
                if option.typed and option.rule is not switch]

    def first(self) -> list[str]:
        """Words that may stand without a flag."""
        return [word for option in self.table if option.typed == "" for word in choices_of(option)]


def flags_of(option: Option) -> list[str]:
    """What is typed for it; for what may be denied, both."""
    if option.typed and option.rule is switch and option.default is None:
        return [option.typed, f"--no-{option.typed.removeprefix('--')}"]
    return [option.typed] if option.typed else []


def choices_of(option: Option) -> list[str]:
    """The words that it takes; none where it takes anything else."""
    return [str(word) for word in getattr(option.rule, "choices", ())]


def bash(commands: Sequence[Command]) -> str:
    """A function for bash, which needs no package bash-completion."""
    return f"""\
# completion of bnnsim for bash: eval "$(bnnsim completion bash)"
_bnnsim() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} command=${{COMP_WORDS[1]//-/_}} words=
    COMPREPLY=()
    if [[ $cur == "=" ]]; then cur=; elif [[ $prev == "=" ]]; then prev=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
    if (( COMP_CWORD == 1 )); then
        words={_words([*(command.name for command in commands), 'help', '--help', '--version'])}
    else
        case "$command $prev" in
            "help help") words={_words([command.name for command in commands])};;
{_cases(commands, '            ', lambda name, words: f'words={_words(words)};;')}
            *) case "$command" in
{_bash_flags(commands)}
            esac;;
        esac
    fi
    [[ -n $words ]] && COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _bnnsim bnnsim
"""


def zsh(commands: Sequence[Command]) -> str:
    """A function for zsh: a file of its fpath, or for eval."""
    listed = _described([(command.name, command.text) for command in commands])
    return f"""\
#compdef bnnsim
# completion of bnnsim for zsh: a file _bnnsim in a folder of fpath, or eval "$(bnnsim completion zsh)" after compinit
_bnnsim() {{
    local -a found
    local first= command=${{words[2]//-/_}}
    if (( CURRENT == 2 )); then
        found=({listed} help --help --version)
        _describe -t commands command found
        return
    fi
    case "$command ${{words[CURRENT - 1]}}" in
        "help help") found=({listed}); _describe -t commands command found; return;;
{_cases(commands, '        ', lambda name, words: _zsh_values(words))}
    esac
    case "$command" in
{_zsh_flags(commands)}
    esac
    if [[ $PREFIX == -* ]]; then _describe -o -t options option found; return; fi
    [[ -n $first ]] && compadd -- ${{=first}}
    _files
}}
if [[ $funcstack[1] == _bnnsim ]]; then _bnnsim "$@"; else compdef _bnnsim bnnsim; fi
"""


SHELLS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "zsh": zsh}


def _words(words: Sequence[str]) -> str:
    return shlex.quote(" ".join(words))


def _cases(commands: Sequence[Command], indent: str, then: Callable[[str, list[str]], str]) -> str:
    """A line for each option with a value: "ber_sweep --format") ..."""
    return "\n".join(f'{indent}"{command.name} {flag}") {then(flag, words)}'
                     for command in commands for flag, words in command.values())


def _bash_flags(commands: Sequence[Command]) -> str:
    lines = []
    for command in commands:
        flags = _words([flag for flag, _ in command.flags()])
        lines.append(f'                {command.name}) if [[ $cur == -* ]]; then words={flags}; '
                     f'else words={_words(command.first())}; fi;;')
    return "\n".join(lines)


def _zsh_values(words: Sequence[str]) -> str:
    return f"compadd -- {shlex.join(words)}; return;;" if words else "_files; return;;"


def _zsh_flags(commands: Sequence[Command]) -> str:
    return "\n".join(f"        {command.name}) found=({_described(command.flags())}); first={_words(command.first())};;"
                     for command in commands)


def _described(items: Sequence[tuple[str, str]]) -> str:
    """Words 'name:text', as zsh's _describe takes them."""
    return " ".join(shlex.quote(f"{name}:{text.replace('%%', '%')[:LONGEST]}") for name, text in items)
