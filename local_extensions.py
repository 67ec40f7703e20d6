"""What Jinja has to know to render files of Azure Pipelines."""

from jinja2.ext import Extension


class AzureExpressions(Extension):
    """Leave ``${{ ... }}`` as it stands: it is Azure's, and so no business of Jinja's."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return source.replace("${{", "{{ '${{' }}")
