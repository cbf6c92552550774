"""Particle-steps per second of JAX on the walk that `fiberwalk bench` times: Adam on the negative
log-likelihood of a tanh network, prior and drift, every particle on its own, float32.

    walk.py --seconds 3 --repetitions 3

prints JSON: `vmap`, all particles in one batched step; `map`, one particle's step after another
(`lax.map`). How many processors they use is the caller's affair (taskset): XLA takes all it may.
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp
from jax import lax

WIDTHS = (18, 50, 4)
PARTICLES = 64
ROWS = 592
RATE, BETA1, BETA2, EPSILON = 0.01, 0.9, 0.999, 1e-8
# Steps in one compiled call: a call's own cost must not count.
STEPS = 10


def network(key):
    """Weights and biases of every layer: weights N(0, 1 / inputs)."""
    layers = []
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        key, own = jax.random.split(key)
        weights = jax.random.normal(own, (inputs, outputs)) / jnp.sqrt(inputs)
        layers.append((weights, jnp.zeros(outputs)))
    return layers


def nll(theta, x, labels):
    """Sum of -log p(y | x, theta), nats."""
    for weights, biases in theta[:-1]:
        x = jnp.tanh(x @ weights + biases)
    weights, biases = theta[-1]
    log_p = jax.nn.log_softmax(x @ weights + biases)
    return -jnp.take_along_axis(log_p, labels[:, None], axis=1).sum()


def step(x, labels, count, particle):
    """One step of Adam down nll + |theta|^2 / 2 - drift . theta, prior precision 1."""
    theta, first, second, drift = particle
    gradient = jax.grad(nll)(theta, x, labels)
    gradient = jax.tree.map(lambda g, t, d: g + t - d, gradient, theta, drift)
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradient)
    rate, correction = RATE / (1 - BETA1**count), 1 / (1 - BETA2**count)

    def move(t, m, v):
        return t - rate * m / (jnp.sqrt(v * correction) + EPSILON)

    return jax.tree.map(move, theta, first, second), first, second, drift


def over_particles(every, x, labels):
    """`STEPS` steps of all particles, compiled; `every` applies a function to each particle."""

    def body(index, particles):
        count = (index + 1).astype(jnp.float32)
        return every(lambda particle: step(x, labels, count, particle), particles)

    return jax.jit(lambda particles: lax.fori_loop(0, STEPS, body, particles))


def rate(walk, particles, seconds, repetitions):
    """Particle-steps per second, the best of the repetitions, which take `seconds` together."""
    best = float("inf")
    jax.block_until_ready(walk(particles))
    for _ in range(repetitions):
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / repetitions:
            jax.block_until_ready(walk(particles))
            calls += 1
        best = min(best, (time.perf_counter() - start) / calls)
    return PARTICLES * STEPS / best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()

    key = jax.random.key(0)
    x = jax.random.normal(key, (ROWS, WIDTHS[0]))
    labels = jax.random.randint(key, (ROWS,), 0, WIDTHS[-1])
    theta = jax.tree.map(lambda t: jnp.broadcast_to(t, (PARTICLES, *t.shape)), network(key))
    zeros = jax.tree.map(jnp.zeros_like, theta)
    drift = jax.tree.map(lambda t: jax.random.normal(key, t.shape), theta)
    particles = (theta, zeros, zeros, drift)

    ways = {"vmap": lambda f, p: jax.vmap(f)(p), "map": lax.map}
    rates = {
        name: rate(over_particles(every, x, labels), particles, arguments.seconds,
                   arguments.repetitions)
        for name, every in ways.items()
    }
    print(json.dumps({"jax": jax.__version__, **rates}))


if __name__ == "__main__":
    main()
