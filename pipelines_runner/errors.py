"""What makes a pipeline impossible to compile or to run, as opposed to a step that fails."""


class PipelineError(Exception):
    """The pipeline is wrong. The message names the file or the expression."""
