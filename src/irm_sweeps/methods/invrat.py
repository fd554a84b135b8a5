"""InvRat: penalise how much better an adversary that knows the environment predicts from the representation."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from irm_sweeps.backbones.backbone import Parameters, head_sizes, in_full, squeezed
from irm_sweeps.methods.method import Fresh, Method, Move, Pace, Point, Pooling, Turn
from irm_sweeps.methods.risks import columns
from irm_sweeps.methods.stages import Boundary, Stage


class InvRat(Method):
    """Chang et al. (2020), as lin2021 Eq. 3: min_{u,v} max_{v'} sum_e R_e(g_v) + lam [R_e(g_v) - R_e(g'_v'(., e))].

    The model minimises the risk plus lam times its gap to the adversary; the adversary, who sees h_u(x) and the
    environment, minimises its own risk. Each step gives the adversary `inner_steps` moves, then the model one.

    With `on=hidden` the adversary predicts from h_u(x), with `on=output` from the shared logits.
    """

    reference: ClassVar[str] = "Chang et al. (2020); lin2021 Eq. 3"
    default_lam: ClassVar[float | None] = 100.0
    """That of the example in the README of lin2021's released code; lin2021 searches 1, 10, ..., 100,000."""
    delay: ClassVar[str] = "anneal"

    on: Literal["hidden", "output"]
    """The adversary's input: the representation (lin2021's (h)) or the shared head's logits (lin2021's (o))."""
    inner_steps: Annotated[int, Field(ge=1)]
    """The adversary's steps per step of the model, K."""
    inner_batch: Literal["fresh", "same"]
    """Whether each inner step draws images of its own or sees the model's; no difference at full batch."""
    adversary_lr_scale: Annotated[float, Field(gt=0)]
    """The adversary's learning rate over the trial's."""
    adversary_schedule: Literal["trial", "constant"] = "trial"
    """Whether the adversary's learning rate decays with the trial's or stays (lin2021's released code)."""
    risk: Pooling
    """How the environments' risks are pooled, in the risk and in the gap alike."""
    anneal: Annotated[int, Field(ge=0)]
    """Steps of plain ERM before the game begins."""
    shared_head: Literal["trained", "frozen"]
    """Whether g_v is trained after the anneal (Eq. 3) or stays as it is (the released code)."""
    clamp: bool
    """Whether a negative gap counts as 0 (both released codes)."""
    penalty_scale: Annotated[float, Field(gt=0)]
    """Factor of the gap: 1 in Eq. 3; 4 / (512 lr), 0.78125 at lr 0.01, in lin2021's released code."""
    rescale: Literal["none", "one_plus_weight"]
    """Whether the model's loss after the anneal is divided by 1 + lam (the released code)."""

    @abstractmethod
    def adversary(self, at: Point, seen: Tensor) -> Tensor:
        """Return the adversary's logits from what it sees of the batch, `[environments * n, width]`."""

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Return representation, head and adversary."""
        split: dict[str, list[str]] = {"representation": [], "head": [], "adversary": []}
        for name in names:
            half = name.partition(".")[0]
            split[half if half in split else "representation"].append(name)
        return split

    def pace(self, player: str) -> Pace:
        """Return the adversary's own learning rate."""
        if player != "adversary":
            return Pace()
        return Pace(lr=self.adversary_lr_scale, decays=self.adversary_schedule == "trial")

    def stages(self) -> Sequence[Stage]:
        """Return plain ERM until the anneal, then the game: the adversary's moves and the model's."""
        inner = [Move(["adversary"], 0 if self.inner_batch == "same" else k + 1) for k in range(self.inner_steps)]
        model = ["representation", "head"] if self.shared_head == "trained" else ["representation"]
        return [
            Stage("ERM", moves=[Move(["representation", "head"])]),
            Stage("game", self.anneal, moves=[*inner, Move(model)]),
        ]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return the adversary's risk, or the model's objective."""
        if "adversary" in moving:
            seen = self._seen(at, at.frozen_features()).detach()
            risk = at.pool(at.risks(self.adversary(at, seen)), self.risk)
            return Turn({"adversary": risk}, {"adversary_risk": risk})
        features = at.features()
        logits = at.logits(features)
        risks = at.risks(logits)
        pooled = at.pool(risks, self.risk)
        if at.phase == "ERM":
            return Turn(dict.fromkeys(moving, pooled + at.l2()), {"risks": risks})
        seen = features if self.on == "hidden" else columns(logits)
        gap = self.penalty_scale * (pooled - at.pool(at.risks(self.adversary(at, seen)), self.risk))
        gap = gap.clamp(min=0.0) if self.clamp else gap
        scale = 1.0 + at.numbers["lam"] if self.rescale == "one_plus_weight" else 1.0
        objective = (pooled + at.l2() + at.numbers["lam"] * gap) / scale
        return Turn(dict.fromkeys(moving, objective), {"risks": risks, "penalty": gap})

    def _seen(self, at: Point, features: Tensor) -> Tensor:
        return features if self.on == "hidden" else columns(at.logits(features))


class InvRatEC(InvRat):
    """InvRat with environment classifiers (lin2021 Eq. 5): the adversary is one head per environment.

    `on=hidden`: heads of the shared head's shape. `on=output`, lin2021's InvRat-EC(o), is in no release; here
    it is the same game one layer later: per environment a scale a_e and a bias b_e on the shared logits, the
    smallest classifiers that contain the shared one (a = 1, b = 0), as IRMv1(o)'s dummy multiplier is.
    """

    reference: ClassVar[str] = "lin2021 Eq. 5 (InvRat-EC)"

    copy_head_at_anneal: bool
    """Whether each environment head is set to the shared head when the game begins (released), or keeps its
    own random start. On the output the adversary starts as the identity either way."""

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the heads, `adversary.NAME` `[environments, ...]`."""
        del generator
        if self.on == "output":
            outputs, _ = head_sizes(fresh("backbone"))
            return {
                "adversary.scale": torch.ones(environments, dtype=torch.float32, device="cpu"),
                "adversary.bias": torch.zeros(environments, outputs, dtype=torch.float32, device="cpu"),
            }
        drawn = [fresh(f"adversary/{e}") for e in range(environments)]
        names = [name for name in drawn[0] if name.startswith("head.")]
        return {
            f"adversary.{name.removeprefix('head.')}": torch.stack([heads[name] for heads in drawn]) for name in names
        }

    def enter(self, stage: str, at: Boundary) -> Mapping[str, Tensor]:
        """Return the copies of the shared head with which the game begins."""
        if stage != "game" or self.on == "output" or not self.copy_head_at_anneal:
            return {}
        copies = {}
        for name, value in at.parameters.items():
            if name.startswith("head."):
                target = f"adversary.{name.removeprefix('head.')}"
                copies[target] = value.expand_as(at.parameters[target])
        return copies

    def adversary(self, at: Point, seen: Tensor) -> Tensor:
        """Return each image's logits under its environment's head."""
        if self.on == "output":
            scale, bias = at.batch.of_images(at.parameters["adversary.scale"]), at.parameters["adversary.bias"]
            return squeezed(seen * scale[:, None] + at.batch.of_images(bias))
        heads = {
            "head." + name.removeprefix("adversary."): value
            for name, value in at.parameters.items()
            if name.startswith("adversary.")
        }
        if at.batch.even:
            together: Tensor = torch.func.vmap(at.model.classify)(heads, at.batch.by_environment(seen))
            return together.flatten(0, 1)
        return torch.cat(
            [
                at.model.classify({name: head[e] for name, head in heads.items()}, own)
                for e, own in zip(at.batch.present, at.batch.split(seen), strict=True)
            ]
        )


class InvRatEB(InvRat):
    """InvRat with environment embeddings (lin2021 Eq. 4): the adversary is a two-layer head on its input and m(e).

    In Eq. 4 the embedding m maximises with the adversary; the released code trains it with the
    representation, on the other side of the game (`embedding_side`).
    """

    reference: ClassVar[str] = "Chang et al. (2020); lin2021 Eq. 4 (InvRat-EB)"

    emb_dim: Annotated[int, Field(ge=1)]
    """Length of m(e)."""
    hidden_dim: Annotated[int, Field(ge=1)]
    """Hidden units of g'."""
    embedding_side: Literal["adversary", "representation"]
    """The player that trains m(e)."""

    def extra_parameters(self, fresh: Fresh, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return embedding (standard normal, as torch's) and layers (uniform in +-1/sqrt(inputs), as torch's)."""
        outputs, width = head_sizes(fresh("backbone"))
        n_in = (width if self.on == "hidden" else outputs) + self.emb_dim

        def uniform(bound: int, *shape: int) -> Tensor:
            drawn: Tensor = 2 * torch.rand(*shape, generator=generator, dtype=torch.float32, device="cpu") - 1
            return drawn / math.sqrt(bound)

        name = "adversary.embedding" if self.embedding_side == "adversary" else "embedding"
        return {
            name: torch.randn(environments, self.emb_dim, generator=generator, dtype=torch.float32, device="cpu"),
            "adversary.0.weight": uniform(n_in, self.hidden_dim, n_in),
            "adversary.0.bias": uniform(n_in, self.hidden_dim),
            "adversary.2.weight": uniform(self.hidden_dim, outputs, self.hidden_dim),
            "adversary.2.bias": uniform(self.hidden_dim, outputs),
        }

    def adversary(self, at: Point, seen: Tensor) -> Tensor:
        """Return the two-layer head's logits."""
        p: Parameters = at.parameters
        embedding = p["adversary.embedding" if self.embedding_side == "adversary" else "embedding"]
        both = torch.cat([seen, at.batch.of_images(embedding)], dim=-1)
        with at.model.layers_precision():
            hidden = F.linear(both, p["adversary.0.weight"], p["adversary.0.bias"]).relu()
            logits = F.linear(hidden, p["adversary.2.weight"], p["adversary.2.bias"])
        return in_full(squeezed(logits))
