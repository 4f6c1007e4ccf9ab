"""Models and versions with real files, in a data folder of the test's own."""

from support.registered import data_folder, make_model, make_version, model

__all__ = ["data_folder", "make_model", "make_version", "model"]
