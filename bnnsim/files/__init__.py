"""Files that strangers may send: written whole or not at all, checked before anything is allocated or believed.

For the packages that have a file format (packed, training, faults, campaign); knows no network. `atomic` replaces a
file in one step, `hdf5` is the only import of h5py, `file_format` has kinds, versions and checksums, `announced` what a
file says of an array before it is read.

To add a kind of file: its name in `file_format.WHAT`, a reader that announces, checks and then reads (see
`packed.network_file`), and hostile cases in its tests.
"""

__all__ = []
