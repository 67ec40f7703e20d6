"""Entry script of batch scoring on a cluster: Azure ML calls the init and run of a file, outside any package."""

from {{ cookiecutter.package_name }}.batch_step import init, run

__all__ = ["init", "run"]
