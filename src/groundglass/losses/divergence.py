"""How far a normal distribution is from another: the Kullback-Leibler divergence, exactly or by one sample.

Kingma and Welling (arXiv 1312.6114), appendix B, with any prior; StitchNet's released training takes the one sample z
that it has drawn from q anyway, and its paper says so.
"""

from __future__ import annotations

from torch import Tensor


def divergence(mean: Tensor, variance: Tensor, prior_mean: Tensor, prior_variance: Tensor) -> Tensor:
    """``(log(v_p / v) + (v + (m - m_p)^2) / v_p - 1) / 2`` of each number, nats; 0 or more."""
    ratio = variance / prior_variance
    return (ratio - ratio.log() - 1 + (mean - prior_mean).square() / prior_variance) / 2


def sampled_divergence(z: Tensor, mean: Tensor, variance: Tensor, prior_mean: Tensor, prior_variance: Tensor) -> Tensor:
    """``log q(z) - log p(z)`` of each number, nats: on average over z from q the divergence, and often below 0."""
    ratio = variance / prior_variance
    return ((z - prior_mean).square() / prior_variance - (z - mean).square() / variance - ratio.log()) / 2
