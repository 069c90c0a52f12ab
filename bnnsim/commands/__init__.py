"""What the command lines share: options, configuration files, what they work on, executors, one line for each error.

The commands themselves are the root's modules (`python -m bnnsim.NAME`); nothing else imports this package, but the
examples `scripts`, by which they end in such a line too.

To add a command: a module in the root with its table of options, `arguments()`, `work(options)` and `main(argv)`, as
`bnnsim.evaluate` has them; its line in `commands.names.COMMANDS`; and its tests in tests/commands.

To add an option: an `Option` in the command's table (in `commands.options`, where several commands have it), with a
rule of `commands.rules` for its value, read as ``options.NAME`` in its `work`. Help, check, configuration file and
stored command follow from the table. One that names a file to be written has `outputs`, so that it is refused before
the work where it is there or cannot be written.
"""

__all__: list[str] = []
