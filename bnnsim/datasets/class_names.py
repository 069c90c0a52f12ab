"""Names of the classes of the known data sets, for tables and legends."""

CLASS_NAMES = {
    "fashion": ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
                "ankle boot"),                                      # as in github.com/zalandoresearch/fashion-mnist
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


def of_split(name, n_classes):
    """Names of the classes of a split by its name, such as "fashion-subset-test[:300]"; else "class 0" and so on.

    Examples
    --------
    >>> of_split("cifar10-test", 10)[3], of_split("mnist-test", 10)[3]
    ('cat', 'class 3')
    """
    names = next((names for head, names in CLASS_NAMES.items() if name.startswith(head)), ())
    return names if len(names) == n_classes else tuple(f"class {c}" for c in range(n_classes))
