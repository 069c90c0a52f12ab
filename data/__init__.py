"""Data files that come with bnnsim, installed as the package bnnsim.data; README.rst has their origin."""
