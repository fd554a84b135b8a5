"""The cases of the suites over all methods: each method with its defaults, and variants that play another game."""

from __future__ import annotations

from irm_sweeps.commands.method_catalogue import methods
from irm_sweeps.testing.cases import MethodCases

VARIANTS = {
    "irmv1 on the hidden layer": ["method=irmv1", "method.on=hidden", "method.form=even_odd"],
    "irmv1 as released for ResNets": ["method=irmv1", "method.head=risk", "method.rescale=one_plus_weight"],
    "fishr with a moving average": ["method=fishr", "method.ema=0.95", "method.reduce=mean"],
    "invrat_ec on the output": ["method=invrat_ec", "method.on=output", "method.inner_steps=2"],
    "invrat_eb on the output": ["method=invrat_eb", "method.on=output", "method.inner_batch=same"],
    "f-irm games": ["method=irm_games", "method.variant=f"],
    "simultaneous games": ["method=irm_games", "method.order=simultaneous"],
    "games as released": [
        "method=irm_games",
        "method.order=sequential",
        "method.warm_up=1",
        "method.forget_warm_up=true",
    ],
    "meta_irm with two inner steps": ["method=meta_irm", "method.inner_steps=2", "method.same_env=true"],
}
"""Overrides of variants whose game differs from the method's default."""


class AllMethods(MethodCases):
    """All methods as cases; a test module derives a class `Test...` from it and from a part of the contract."""

    cases = {
        **{entry.name: [f"method={entry.name}"] for entry in methods() if entry.name not in ("birm", "sparse_irm")},
        **VARIANTS,
    }
    noisy = {
        "birm": ["method=birm"],
        "sparse_irm": ["method=sparse_irm"],
        "meta_irm with drop_grad": ["method=meta_irm", "method.drop_grad=gaussian", "method.first_order=true"],
        "meta_irm with sampled environments": ["method=meta_irm", "method.others=1", "method.drop_grad=binary"],
    }
    no_erm_at_lam_0 = {
        "and_mask": "it has no lam, and masks the gradient",
        "eiil": "its model is trained in two stages",
        "groupdro": "it has no lam, and weights the environments",
        "irm_games": "it has no lam, and several classifiers",
        "pair": "it has no lam, and weighs three losses",
        "sand_mask": "it has no lam, and masks gradients",
        "meta_irm": "its risks are those of adapted parameters",
        "rfc": "its model is trained in four stages",
    }
    small = {"z_dim": 2, "discovery_steps": 2, "second_discovery_steps": 3, "synthesis_steps": 3}
    slow_penalty = {"clove": "while it falls, each image's own term of the double sum stays"}
    size_matters = {
        **dict.fromkeys(("coral", "ib_erm", "ib_irm"), "its (co)variance is the unbiased one"),
        **dict.fromkeys(("eiil", "irm_tv", "rfc", "zin"), "it pools the environments' images"),
    }
    equal_only = {"meta_irm with sampled environments": "it cannot choose among environments of unequal size"}
