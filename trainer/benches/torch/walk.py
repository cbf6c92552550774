"""Particle-steps per second of PyTorch on the walks that `fiberwalk bench` times: Adam on the negative
log-likelihood of a tanh network, prior and drift, every particle on its own, float32; gradients by
torch.func's vmap and grad.

    walk.py --device cuda --seconds 3

prints JSON: the rate of every case, under the case's name in `fiberwalk bench`.
"""

import argparse
import json
import time

import torch
from torch.func import grad, vmap

# Widths, particles, rows of a step.
CASES = {
    "18-50-4 x64, 256 of 1024 rows": ((18, 50, 4), 64, 256),
    "18-50-4 x1024, 256 of 1024 rows": ((18, 50, 4), 1024, 256),
    "64-64-32-10 x256, 256 of 1024 rows": ((64, 64, 32, 10), 256, 256),
    "784-128-64-10 x256, 512 of 2048 rows": ((784, 128, 64, 10), 256, 512),
}
RATE, BETA1, BETA2, EPSILON = 0.01, 0.9, 0.999, 1e-8


def nll(theta, x, labels):
    """Sum of -log p(y | x, theta), nats."""
    for weights, biases in theta[:-1]:
        x = torch.tanh(x @ weights + biases)
    weights, biases = theta[-1]
    return torch.nn.functional.cross_entropy(x @ weights + biases, labels, reduction="sum")


class Walk:
    """Particles with their drifts and Adam's moments."""

    def __init__(self, widths, particles, rows, device):
        generator = torch.Generator(device).manual_seed(0)

        def normal(*shape):
            return torch.randn(*shape, generator=generator, device=device)

        self.x = normal(rows, widths[0])
        self.labels = torch.arange(rows, device=device) % widths[-1]
        self.theta = [
            (normal(particles, i, o) / i**0.5, torch.zeros(particles, o, device=device))
            for i, o in zip(widths, widths[1:])
        ]
        self.drift = [normal(*t.shape) for layer in self.theta for t in layer]
        self.first = [torch.zeros_like(t) for t in self.drift]
        self.second = [torch.zeros_like(t) for t in self.drift]
        self.gradient = vmap(grad(nll), in_dims=(0, None, None))
        self.count = 0

    def step(self):
        """One step of Adam down nll + |theta|^2 / 2 - drift . theta, prior precision 1."""
        self.count += 1
        slopes = [g for layer in self.gradient(self.theta, self.x, self.labels) for g in layer]
        theta = [t for layer in self.theta for t in layer]
        # Operations over lists of tensors: one launch for all layers.
        torch._foreach_add_(slopes, theta)
        torch._foreach_sub_(slopes, self.drift)
        torch._foreach_lerp_(self.first, slopes, 1 - BETA1)
        torch._foreach_mul_(self.second, BETA2)
        torch._foreach_addcmul_(self.second, slopes, slopes, 1 - BETA2)
        rate, correction = RATE / (1 - BETA1**self.count), 1 / (1 - BETA2**self.count)
        scale = torch._foreach_mul(self.second, correction)
        torch._foreach_sqrt_(scale)
        torch._foreach_add_(scale, EPSILON)
        torch._foreach_addcdiv_(theta, self.first, scale, -rate)


def rate(walk, particles, seconds, synchronise):
    """Particle-steps per second, after some steps to warm up."""
    for _ in range(10):
        walk.step()
    synchronise()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(10):
            walk.step()
        synchronise()
        steps += 10
    return particles * steps / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    synchronise = torch.cuda.synchronize if arguments.device.startswith("cuda") else lambda: None
    # As fiberwalk multiplies: all bits of float32.
    torch.backends.cuda.matmul.allow_tf32 = False
    rates = {
        case: rate(Walk(widths, particles, rows, arguments.device), particles, arguments.seconds,
                   synchronise)
        for case, (widths, particles, rows) in CASES.items()
    }
    print(json.dumps({"torch": torch.__version__, "rates": rates}))


if __name__ == "__main__":
    main()
