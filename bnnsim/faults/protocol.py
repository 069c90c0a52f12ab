"""What a fault is."""

WHEN = ("permanent", "growing", "write", "read")                # from the rarest draw to the most frequent


def check_fault(name, value):
    """Something with a method `apply`."""
    if isinstance(value, type) or not callable(getattr(value, "apply", None)):
        raise TypeError(f"{name} must be a fault such as bnnsim.faults.BitFlips(0.01), got {value!r}")
    return value


def when_drawn(fault):
    """When a fault is drawn; "write" where it does not say."""
    return getattr(fault, "when", "write")


def apply_read(fault, network, root, trial, read):
    """Apply a fault, which is told the read where it is drawn at each."""
    if when_drawn(fault) == "read":
        return fault.apply(network, root, trial, read=read)
    return fault.apply(network, root, trial)


def is_clean_at_zero(fault):
    """Whether a fault at rate 0 leaves the memory as it is.

    One that errs all the same says so, with ``clean_at_zero = False``; one around another is as that is.
    """
    return is_clean_at_zero(fault.fault) if hasattr(fault, "fault") else getattr(fault, "clean_at_zero", True)
