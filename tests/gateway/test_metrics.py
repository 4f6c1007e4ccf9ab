"""The admin port, and what one process costs."""

import subprocess
import sys
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from inference.gateway.main import HEAP_BYTES


def families(gateway: Any) -> dict[str, Any]:
    status, text, headers = gateway.call("GET", "/metrics", admin=True, key=None)
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def test_metrics_count_as_triton_counts(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.serve(builders["model"]("linear", builders["version"](1, signature)))
    gateway = site.start_gateway()
    for _ in range(3):
        assert gateway.infer([1, 0, 0, 0] * 2)[0] == 200
    assert gateway.infer([888.0, 0, 0, 0])[0] == 500
    assert gateway.infer([1, 0, 0, 0], X_Timeout_Ms="0.001")[0] == 504
    assert gateway.infer([1, 0, 0, 0], version="9")[0] == 404
    assert gateway.infer([1, 0, 0, 0], model="none")[0] == 404
    own = {"model": "linear", "version": "1"}
    assert gateway.metric("nv_inference_request_success", **own) == 3
    assert gateway.metric("nv_inference_count", **own) == 6
    assert gateway.metric("nv_inference_exec_count", **own) == 4
    assert gateway.metric("nv_inference_request_failure", **own, reason="BACKEND") == 1
    assert gateway.metric("nv_inference_request_failure", **own, reason="REJECTED") == 1
    assert gateway.metric("switchyard_requests_total", **own, code="ok") == 3
    assert gateway.metric("switchyard_requests_total", model="linear", version="0", code="version_not_found") == 1
    assert gateway.metric("switchyard_requests_total", model="", code="model_not_found") == 1
    assert gateway.metric("switchyard_request_duration_seconds_count", **own) == 5
    assert gateway.metric("switchyard_request_duration_seconds_bucket", **own, le="+Inf") == 5
    assert (
        0
        < gateway.metric("nv_inference_queue_duration_us", **own)
        < gateway.metric("nv_inference_request_duration_us", **own)
    )
    assert gateway.metric("nv_inference_compute_infer_duration_us", **own) > 0
    found = families(gateway)
    assert found["nv_inference_count"].type == "counter"
    assert found["switchyard_request_duration_seconds"].type == "histogram"


def test_a_chain_counts_the_model_once(shared: Any) -> None:
    before = shared.metric("nv_inference_exec_count", model="chain")
    body = {"inputs": [{"name": "text", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    assert shared.call("POST", "/v2/models/chain/infer", body)[0] == 200
    assert shared.metric("nv_inference_exec_count", model="chain") == before + 1


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/healthz", 200), ("GET", "/readyz", 200), ("GET", "/v2", 404), ("POST", "/metrics", 405),
])  # fmt: skip
def test_the_admin_port(shared: Any, method: str, path: str, status: int) -> None:
    assert shared.call(method, path, admin=True, key=None)[0] == status


def test_without_a_ready_model_a_load_balancer_is_told_so(site: Any, builders: Any) -> None:
    signature = builders["signature"](("x", "FP32", (-1, 4), "y"))
    site.publish("spec", "linear", builders["model"]("linear", builders["version"](1, signature)))
    gateway = site.start_gateway()
    assert gateway.call("GET", "/v2/health/ready", key=None)[0] == 503
    assert gateway.call("GET", "/readyz", admin=True)[0] == 503
    assert gateway.call("GET", "/healthz", admin=True)[0] == 200


def test_a_gateway_takes_little_memory(shared: Any) -> None:
    own = 120 * 1024 * 1024
    assert psutil.Process(shared.process.pid).memory_info().rss < own + HEAP_BYTES  # after all that was sent to it


@pytest.mark.parametrize("soft, hard, possible", [(256, 4096, 1000), (256, 1024, 424), (4096, 4096, 1000)])
def test_open_files_are_raised_as_far_as_allowed(soft: int, hard: int, possible: int) -> None:
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from inference.gateway.main import raise_file_limit\n"
        "print(raise_file_limit(1000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    given, limit = map(int, ran.stdout.splitlines()[-1].split())
    assert given == possible
    assert limit >= possible + 600


def test_a_gateway_imports_neither_torch_nor_django() -> None:
    code = (
        "import sys, inference.gateway.main, inference.gateway.gateway\n"
        "bad = {'torch', 'django', 'onnxruntime', 'transformers', 'tokenizers', 'safetensors'} & set(sys.modules)\n"
        "print(', '.join(bad) or 'none')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("none\n", "")
