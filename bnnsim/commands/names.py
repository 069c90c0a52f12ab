"""The commands, each a module of the root: ``python -m bnnsim.NAME``, or ``bnnsim NAME``; and a line about each."""

COMMANDS = {"bench": "how fast this machine trains and breaks networks",
            "ber_sweep": "accuracy of stored networks over bit error rates",
            "cache": "where compiled kernels lie, and how to be rid of them",
            "certify": "how many flipped weights provably change no class",
            "completion": "a script by which bash or zsh completes commands and options",
            "convert": "somebody else's network, of whatever format, into one of bnnsim's, and back",
            "device_sweep": "accuracy in a memory technology, over its device card's axes",
            "download": "fetch a data set from its official address",
            "evaluate": "accuracy of stored networks, as a whole and by class",
            "explain": "margins, tolerance, importance of neurons, predicted accuracy of a stored network",
            "plot": "figures of stored results and networks",
            "summary": "what stored networks and results hold",
            "train": "train a network, pack it, store it"}
