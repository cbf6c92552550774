"""Figures of public libraries on two tiny problems, which the trainer's tests compare with:
Laplace's approximation by laplace-torch, the posterior predictive by numpyro's NUTS.

    python3 -m venv VENV && VENV/bin/pip install -r tests/reference/requirements.txt
    VENV/bin/python tests/reference/make.py > tests/reference/figures.json

Parameters are those of fiberwalk: layer by layer, weights row by row, then biases.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import torch
from laplace import Laplace
from laplace.curvature import BackPackGGN
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import MCMC, NUTS
from torch.utils.data import DataLoader, TensorDataset

jax.config.update("jax_enable_x64", True)
torch.set_default_dtype(torch.float64)

HIDDEN = 5
ROWS = 40
NOISE_STD = 0.3
# Of the hidden and of the output layer, in the posterior; then all that evidence is computed for.
PRECISION = [2.0, 1.0]
PRECISIONS = [PRECISION, [0.3, 0.3], [10.0, 10.0], [0.5, 30.0]]
CHAINS, WARM_UP, DRAWS = 4, 500, 2000


def round32(values):
    """What f32 holds, so that both sides read the same numbers."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def problem(task):
    rng = np.random.default_rng(0)
    x = round32(rng.normal(size=(ROWS, 2)))
    if task == "regression":
        y = round32(np.sin(1.5 * x[:, 0]) + 0.5 * x[:, 1] + NOISE_STD * rng.normal(size=ROWS))
    else:
        scores = np.stack([x[:, 0], -x[:, 0] + x[:, 1] ** 2, -x[:, 1]], axis=1)
        y = (scores + rng.gumbel(size=(ROWS, 3))).argmax(axis=1)
    tests = round32([[0, 0], [1, 0], [0, 1], [-1, -1], [2, -2], [-3, 1], [4, 4], [0.5, -0.25]])
    return x, y, tests


def network(outputs):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(2, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, outputs)
    )


def of_parameters(model, precision):
    """One precision a layer, spread over its parameters."""
    counts = [sum(p.numel() for p in layer.parameters()) for layer in (model[0], model[2])]
    return torch.cat([alpha * torch.ones(n) for alpha, n in zip(precision, counts)])


def map_training(model, x, y):
    """θ* to rounding of f32."""
    parameters = list(model.parameters())
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss():
        optimiser.zero_grad()
        outputs = model(x)
        if y.dtype == torch.int64:
            nll = torch.nn.functional.cross_entropy(outputs, y, reduction="sum")
        else:
            nll = ((outputs - y) ** 2).sum() / (2 * NOISE_STD**2)
        theta = torch.nn.utils.parameters_to_vector(parameters)
        value = nll + 0.5 * (of_parameters(model, PRECISION) * theta**2).sum()
        value.backward()
        return value

    optimiser.step(loss)
    theta = torch.nn.utils.parameters_to_vector(parameters).detach().numpy()
    torch.nn.utils.vector_to_parameters(torch.tensor(round32(theta)), parameters)


def laplace(model, subset, x, y, tests, task):
    noise = {"sigma_noise": NOISE_STD} if task == "regression" else {}
    own = Laplace(model, task, subset, "full", backend=BackPackGGN, **noise)
    own.fit(DataLoader(TensorDataset(x, y), batch_size=ROWS))

    def precision(alphas):
        whole = of_parameters(model, alphas)
        return whole if subset == "all" else whole[-own.n_params :]

    evidence = [own.log_marginal_likelihood(precision(alphas)).item() for alphas in PRECISIONS]
    own.prior_precision = precision(PRECISION)
    mean, covariance = own._glm_predictive_distribution(tests)
    return {
        "log_marginal_likelihood": evidence,
        "mean": mean.detach().tolist(),
        "covariance": covariance.detach().tolist(),
    }


def sample(x, y, tests, task):
    """Mean predictions at the test inputs with Monte Carlo errors: the output and its square, or the
    classes' probabilities."""
    outputs = 1 if task == "regression" else 3

    def forward(theta, inputs):
        split = HIDDEN * 2
        w1, b1 = theta[:split].reshape(HIDDEN, 2), theta[split : split + HIDDEN]
        rest = theta[split + HIDDEN :]
        w2, b2 = rest[: outputs * HIDDEN].reshape(outputs, HIDDEN), rest[outputs * HIDDEN :]
        return jnp.tanh(inputs @ w1.T + b1) @ w2.T + b2

    first, last = HIDDEN * 3, outputs * (HIDDEN + 1)
    alphas = jnp.concatenate([jnp.full(first, PRECISION[0]), jnp.full(last, PRECISION[1])])

    def model():
        theta = numpyro.sample("theta", dist.Normal(0, alphas**-0.5).to_event(1))
        f = forward(theta, x)
        if task == "regression":
            numpyro.sample("y", dist.Normal(f[:, 0], NOISE_STD), obs=y)
        else:
            numpyro.sample("y", dist.Categorical(logits=f), obs=y)

    chains = MCMC(
        NUTS(model),
        num_warmup=WARM_UP,
        num_samples=DRAWS,
        num_chains=CHAINS,
        progress_bar=False,
        chain_method="sequential",
    )
    chains.run(jax.random.PRNGKey(0))
    theta = chains.get_samples(group_by_chain=True)["theta"]
    f = jax.vmap(jax.vmap(lambda theta: forward(theta, tests)))(theta)
    if task == "regression":
        quantities = jnp.concatenate([f, f**2], axis=-1)
    else:
        quantities = jax.nn.softmax(f, axis=-1)
    quantities = np.asarray(quantities)
    assert split_gelman_rubin(quantities).max() < 1.01
    error = quantities.std(axis=(0, 1)) / np.sqrt(effective_sample_size(quantities))
    return {
        "mean": quantities.mean(axis=(0, 1)).tolist(),
        "standard_error": error.tolist(),
    }


def figures(task):
    x, y, tests = problem(task)
    model = network(1 if task == "regression" else 3)
    targets = torch.tensor(y)
    targets = targets[:, None] if task == "regression" else targets
    inputs, at = torch.tensor(x), torch.tensor(tests)
    map_training(model, inputs, targets)
    theta = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    return {
        "x": x.ravel().tolist(),
        "y": y.tolist(),
        "tests": tests.ravel().tolist(),
        "theta": theta.tolist(),
        "laplace": laplace(model, "all", inputs, targets, at, task),
        "laplace_last_layer": laplace(model, "last_layer", inputs, targets, at, task),
        "nuts": sample(jnp.asarray(x), jnp.asarray(y), jnp.asarray(tests), task),
    }


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


print(
    json.dumps(
        rounded(
            {
                "widths": [2, HIDDEN],
                "noise_std": NOISE_STD,
                "precision": PRECISION,
                "precisions": PRECISIONS,
                "regression": figures("regression"),
                "classification": figures("classification"),
            }
        )
    )
)
