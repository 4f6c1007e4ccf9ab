#!/usr/bin/env bash
# Turns open_inference.proto into open_inference_pb2.py and its types: `make proto`.
# The messages get a descriptor pool of their own. In the default one they would collide with every other package that
# brings the protocol's messages (tritonclient, kserve): a program could then not import both.
set -euo pipefail
cd "$(dirname "$0")"
into=${1:-.}
"${PYTHON:-python}" -m grpc_tools.protoc -I . --python_out="$into" --pyi_out="$into" open_inference.proto
sed -i 's/_descriptor_pool\.Default()/_descriptor_pool.DescriptorPool()/' "$into/open_inference_pb2.py"
