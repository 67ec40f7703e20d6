# ruff: noqa: N802 - Terraform's protocol names the methods
"""A provider of Terraform that knows a schema and no cloud: enough for `validate`, and `test` with a mock_provider.

usage: provider.py SCHEMA   as schema.py wrote it; Terraform starts it.
"""

import os
import sys
from pathlib import Path

import tf.provider
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc
from tf.runner import run_provider

schema = Path(sys.argv[1])


class Schema(tfplugin_pb2_grpc.ProviderServicer):
    """Answer with the schema. Nothing else is refused, as Terraform compares with the schema itself."""

    def GetProviderSchema(self, _request, _context):
        return pb.GetProviderSchema.Response.FromString(schema.read_bytes())

    def ValidateProviderConfig(self, _request, _context):
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, _request, _context):
        return pb.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, _request, _context):
        return pb.ValidateDataResourceConfig.Response()

    def StopProvider(self, _request, _context):
        return pb.StopProvider.Response()


os.environ["HOME"] = str(schema.parent)  # where the runner keeps its certificate
tf.provider.ProviderServicer = lambda _provider: Schema()  # the runner makes one, and serves it
run_provider(None)
