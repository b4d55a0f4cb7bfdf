"""Sparse coding: the linear statement of the paper as code, and the measurements that test it on a model."""
