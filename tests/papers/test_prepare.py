"""Weights are had before a run begins: fetched from a server like the hub's, or told in one line."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save

from nlcore.data.source import Source
from nlcore.errors import InputError
from nlcore.papers.prepare import have_weights
from nlcore.runs import Result, Spec
from nlcore.training.models import image_model

MODEL, TAG = "test_resnet", "r160_in1k"


class OnImages(Spec):
    """A run that would train an image network."""

    source: Source

    def compute(self, inputs):
        """Nothing."""
        return Result()


def network():
    return image_model(MODEL, 1000, generator=torch.Generator().manual_seed(3), weights="random")


@pytest.fixture
def hub():
    """A server on this machine that has one file of weights, and answers as the hub does."""
    content = save(network().state_dict())

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            known = self.path == f"/timm/{MODEL}.{TAG}/resolve/main/model.safetensors"
            self.send_response(200 if known else 404)
            for name, value in {"Content-Length": len(content) if known else 0, "ETag": '"abc"',
                                "X-Repo-Commit": "0" * 40, "Accept-Ranges": "none"}.items():  # fmt: skip
                self.send_header(name, str(value))
            self.end_headers()
            return known

        def do_GET(self):
            if self.do_HEAD():
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


CODE = f"""
import time
import torch
from nlcore.errors import InputError
from nlcore.training.models import image_model
time.sleep = lambda seconds: None  # the hub's client tries five times, with pauses: for people, not for tests
try:
    model = image_model("{MODEL}", 1000, generator=torch.Generator().manual_seed(0), weights="timm:{TAG}")
    print(float(sum(p.detach().abs().sum() for p in model.parameters())))
except InputError as error:
    print(error)
"""


def fetched(endpoint, tmp_path):
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=os.environ | settings)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_published_weights_are_fetched_and_used(hub, tmp_path):
    expected = float(sum(parameter.detach().abs().sum() for parameter in network().parameters()))
    assert float(fetched(hub, tmp_path)) == pytest.approx(expected, rel=1e-6)


def test_weights_out_of_reach_are_one_line(tmp_path):
    line = fetched("http://127.0.0.1:9", tmp_path)
    assert "\n" not in line
    assert line.startswith(f"weights timm:{TAG}") or "cannot be had" in line


def test_a_file_that_does_not_fit_is_told_before_anything_runs(tmp_path):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(save({"stem.weight": torch.zeros(3)}))
    source = Source(data="coco", model=MODEL, weights="sha256:1", weights_file=str(file))
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        have_weights([OnImages(source=source)])


def test_heads_and_random_weights_need_nothing(monkeypatch):
    monkeypatch.setattr("nlcore.training.models.image_model", None)
    have_weights([OnImages(source=Source()), OnImages(source=Source(data="coco", model=MODEL, weights="random"))])
