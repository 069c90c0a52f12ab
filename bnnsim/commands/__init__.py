"""What the command lines share: options, configuration files, stored files by name, executors, one line for each error.

The commands themselves are the root's modules (`python -m bnnsim.NAME`); nothing else imports this package.

To add a command: a module in the root with `arguments()`, `work(options)` and `main(argv)`, its line in
`bnnsim.__main__.COMMANDS`, and its row in tests/commands.
"""

__all__ = []
