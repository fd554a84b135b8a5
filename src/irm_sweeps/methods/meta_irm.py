"""Meta-IRM: minimise the risk in the other environments after a gradient step on any one environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from irm_sweeps.backbones.backbone import BUFFER, Parameters
from irm_sweeps.config import Number
from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Check, Method, Point, Turn
from irm_sweeps.methods.risks import population_std


class MetaIRM(Method):
    """bae2021 Eq. 3-6: theta_i' = theta - alpha grad R_i(theta); minimise sum_i sum_{j != i} R_j(theta_i') + lam sigma.

    sigma is the population standard deviation of the meta-losses R_j(theta_i'). Each adapted parameter set
    is computed once, and all its environments are evaluated in one forward pass. The trained predictor is
    theta itself, un-adapted.

    None of its hyperparameters is published. Invariance is not a fixed point of training: training passes through
    it, so the result depends on the stopping rule. bae2021 stops when the standard deviation of the
    training environments' validation losses falls below an unpublished threshold (`stop_rule=first_below`
    with `stop_on=val`); `lowest_risk` is steadier. Both need `training.evaluate_every`.
    """

    adapts: ClassVar[bool] = True
    reference: ClassVar[str] = "bae2021 Eq. 3-6, Algorithm 1"
    default_lam: ClassVar[float | None] = 0.7
    """Ours, with `inner_lr` 1 (`docs/results/meta_irm.md`): bae2021 calls it "very small" and prints no value."""

    inner_lr: Annotated[Number, Field(gt=0)]
    """alpha, the learning rate of the inner steps."""
    inner_steps: Annotated[int, Field(ge=1)]
    """Inner steps per environment, over all parameters."""
    first_order: bool
    """Whether the inner gradient counts as constant (Table 5: first-order approximation)."""
    same_env: bool
    """Whether the meta-loss is that of the inner step's own environment (Table 5: using same env.)."""
    others: Annotated[int, Field(ge=1)] | None
    """Number of other environments with a meta-loss per inner environment, drawn anew at each step; null: all."""
    drop_grad: Literal["none", "gaussian", "binary"]
    """Noise on the inner gradient (Tseng et al. 2020): times N(1, p / (1 - p)), or kept with probability 1 - p
    and divided by it, element by element, fresh at each inner step."""
    drop_rate: Annotated[float, Field(ge=0, lt=1)]
    """p of `drop_grad`."""
    stop_rule: Literal["none", "first_below", "lowest_risk"]
    """Which evaluation the selection rule `stop` chooses: the first with a standard deviation of the risks below
    `stop_threshold`; or, of all below it, the one with the lowest mean validation risk."""
    stop_on: Literal["val", "pooled", "merged"]
    """Whose standard deviation: the environments' validation risks (bae2021); training and validation risks as
    separate values (`pooled`); or each environment's risk over all its images, held out or not (`merged`),
    which has the least sampling noise: 2,500 validation images leave about .006."""
    stop_threshold: Annotated[float, Field(gt=0)]
    """Largest standard deviation that counts as equal risks."""
    stop_warmup: Annotated[int, Field(ge=0)]
    """Steps before the rule applies: at initialisation all risks are equal."""

    def noise(self, parameters: Mapping[str, Tensor], environments: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the draws for `drop_grad` and for sampling other environments."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.drop_grad != "none" and self.drop_rate:
            copies = (environments, self.inner_steps)
            shapes = {f"drop/{name}": (*copies, *p.shape) for name, p in parameters.items()}
        if self._sampled(environments):
            shapes["others"] = (environments, environments - 1)
        return shapes

    def _sampled(self, environments: int) -> bool:
        return not self.same_env and self.others is not None and self.others < environments - 1

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the meta-objective."""
        inputs, labels = at.batch.split(at.batch.inputs), at.batch.split(at.batch.labels)
        if len(inputs) == 1 and not self.same_env:
            # In a pooled minibatch of a single environment there is no meta-loss.
            nothing = at.risks(at.logits(at.features())) * 0
            return Turn(dict.fromkeys(moving, nothing.sum() + at.l2()), {"meta_losses": nothing, "penalty": nothing[0]})
        meta = [
            self._meta_losses(at, self._adapt(at, x, y, e), inputs, labels, e)
            for e, (x, y) in enumerate(zip(inputs, labels, strict=True))
        ]
        losses_ = torch.cat(meta)
        sigma = population_std(losses_)
        objective = losses_.sum() + at.numbers["lam"] * sigma + at.l2()
        return Turn(dict.fromkeys(moving, objective), {"meta_losses": losses_, "penalty": sigma})

    def adapted(self, at: Point) -> Sequence[Parameters]:
        """Return theta_e' for each environment of the batch; with `drop_grad` only if the point has its noise."""
        inputs, labels = at.batch.split(at.batch.inputs), at.batch.split(at.batch.labels)
        return [self._adapt(at, x, y, e) for e, (x, y) in enumerate(zip(inputs, labels, strict=True))]

    def _adapt(self, at: Point, x: Tensor, y: Tensor, e: int) -> Parameters:
        """Return theta_e', differentiable with respect to theta; inner steps do not update running averages."""
        buffers = {name: value for name, value in at.parameters.items() if name.startswith(BUFFER)}

        def risk(parameters: dict[str, Tensor]) -> Tensor:
            every = {**parameters, **buffers}
            logits = at.model.classify(every, at.model.represent(every, x, averages=False))
            return at.loss.losses(logits, y).mean()

        adapted = {name: value for name, value in at.parameters.items() if name not in buffers}
        for k in range(self.inner_steps):
            gradient = torch.func.grad(risk)(adapted)
            if self.first_order:
                gradient = {name: g.detach() for name, g in gradient.items()}
            adapted = {
                name: adapted[name] - at.numbers["inner_lr"] * self._dropped(at, name, gradient[name], e, k)
                for name in adapted
            }
        return {**adapted, **buffers}

    def _dropped(self, at: Point, name: str, gradient: Tensor, e: int, k: int) -> Tensor:
        uniform = at.noise.get(f"drop/{name}")
        if uniform is None:
            return gradient
        p, u = self.drop_rate, uniform[e, k]
        if self.drop_grad == "binary":
            return gradient * (u >= p) / (1 - p)
        # Clamped, since the quantile of 0 is minus infinity.
        normal = torch.special.ndtri(u.clamp(1e-7, 1 - 1e-7))
        factor: Tensor = 1 + (p / (1 - p)) ** 0.5 * normal
        return gradient * factor

    def _meta_losses(
        self, at: Point, adapted: Parameters, inputs: Sequence[Tensor], labels: Sequence[Tensor], e: int
    ) -> Tensor:
        """Return the risks of the adapted parameters in the environments of the meta-loss, in one forward pass."""
        if self.same_env:
            x, y = inputs[e : e + 1], labels[e : e + 1]
        elif self._sampled(len(inputs)):
            return self._sampled_losses(at, adapted, inputs, labels, e)
        else:
            x, y = [*inputs[:e], *inputs[e + 1 :]], [*labels[:e], *labels[e + 1 :]]
        logits = at.model.classify(adapted, at.model.represent(adapted, _joined(x)))
        each = at.loss.losses(logits, _joined(y))
        if at.batch.even:
            return each.reshape(len(y), -1).mean(1)
        return torch.stack([own.mean() for own in each.split([len(own) for own in y])])

    def _sampled_losses(
        self, at: Point, adapted: Parameters, inputs: Sequence[Tensor], labels: Sequence[Tensor], e: int
    ) -> Tensor:
        if not at.batch.even:
            raise UserError(
                f"method.others={self.others} needs equally many images of each environment, and a batch has "
                f"{list(at.batch.counts or ())}: take training.batches=per_environment, and a training.batch_size that "
                "no environment is smaller than"
            )
        order = at.noise["others"][e].argsort()[: self.others]
        judges = order + (order >= e)
        x = torch.stack(list(inputs)).index_select(0, judges)
        y = torch.stack(list(labels)).index_select(0, judges)
        logits = at.model.classify(adapted, at.model.represent(adapted, x.flatten(0, 1)))
        return at.loss.losses(logits, y.flatten()).reshape(x.shape[0], -1).mean(1)

    def stop(self, checks: Sequence[Check]) -> int | None:
        """Choose by `stop_rule`; None where no evaluation qualifies."""
        if self.stop_rule == "none":
            return None
        allowed = [
            i
            for i, check in enumerate(checks)
            if check.step >= self.stop_warmup and self._spread(check) < self.stop_threshold
        ]
        if not allowed or self.stop_rule == "first_below":
            return allowed[0] if allowed else None
        return min(allowed, key=lambda i: sum(checks[i].val_risks or checks[i].train_risks))

    @property
    def can_stop(self) -> bool:
        """Whether `stop_rule` is not `none`."""
        return self.stop_rule != "none"

    def _spread(self, check: Check) -> float:
        risks = list(check.val_risks) or list(check.train_risks)
        if self.stop_on == "pooled":
            risks = [*check.train_risks, *check.val_risks]
        elif self.stop_on == "merged" and check.val_risks:
            triples = zip(check.held_back, check.train_risks, check.val_risks, strict=True)
            risks = [(1 - held) * t + held * v for held, t, v in triples]
        mean = sum(risks) / len(risks)
        return float((sum((r - mean) ** 2 for r in risks) / len(risks)) ** 0.5)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
