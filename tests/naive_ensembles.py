"""Calibration and coverage image by image, from definitions; imports nothing from bnnsim."""

import math


def classes(rows):
    return [max(range(len(row)), key=lambda c: (row[c], -c)) for row in rows]


def calibration_error(rows, labels, bins):
    total = 0.0
    for b in range(bins):
        inside = [i for i, row in enumerate(rows) if b / bins < max(row) <= (b + 1) / bins]
        if inside:
            right = sum(classes(rows)[i] == labels[i] for i in inside) / len(inside)
            sure = sum(max(rows[i]) for i in inside) / len(inside)
            total += len(inside) / len(rows) * abs(right - sure)
    return total


def coverage(rows, labels):
    """(share answered, share of those right) for each confidence that occurs, the largest first."""
    found = []
    for level in sorted({max(row) for row in rows}, reverse=True):
        answered = [i for i, row in enumerate(rows) if max(row) >= level]
        right = sum(classes(rows)[i] == labels[i] for i in answered)
        found.append((len(answered) / len(rows), right / len(answered)))
    return found


def softmax(row, temperature):
    weights = [math.exp(value / temperature) for value in row]
    return [weight / sum(weights) for weight in weights]


def log_loss(rows, labels):
    return -sum(math.log(row[label]) for row, label in zip(rows, labels)) / len(rows)
