"""Encoded images as tensors: a `transform` for a column of JPEG, PNG or WebP files.

`transform` (`Images`) takes the bytes out of a batch, has each decoded (`decode`) and cut (`crop`), and puts the pixels
in their place.
"""
