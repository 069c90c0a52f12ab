"""Files that strangers may send: written whole or not at all, checked before anything is allocated or believed.

Knows no network; anything may import it that reads or writes files. `atomic` replaces a file in one step, `json_text`
reads what people write, `hdf5` is the only import of h5py, `file_format` has kinds, versions and checksums, `announced`
what a file says of an array before it is read.

To add a kind of file: its name in `file_format.WHAT`, a module that writes it and has a function for each version that
it reads, which announces, checks and then reads (see `campaign.result_file`), and hostile cases in its tests.
"""

__all__ = []
