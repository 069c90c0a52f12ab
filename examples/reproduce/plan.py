"""What is trained for the reproductions: factors, arms, and the order in which they are trained.

A network is one `Recipe` and a seed. Its factors, beside the arm (how errors are met in training): data, architecture,
training length with its schedule, the number that black enters as (code 0: pixels 0 to 255, [0, 1] in the papers'
words; code 128: -128 to 127, [-1, 1]), whether latent weights are clipped, and the scale of initial weights.
"""

from dataclasses import dataclass, replace

RATES = (0.0, 1e-4, 1e-3, 1e-2, 0.02, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2)
CODES = (0, 128)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, but for its seed.

    arm : "standard", "flips RATE" (straight-through), "native RATE", "MHL SHARE" (margin, a share of the last
        fan-in), "scaled MHL B" (logits times a learnt scale), "regulariser LAMBDA TARGET"; with `adapt`, "more"
        goes on without errors, "more N" for N epochs
    schedule : "cosine", or "halved N" (every N epochs)
    adapt : batches are of 128 images instead of 256, and all arms but the standard one go on from its network, for so
        many epochs (CIFAR-10, where an epoch takes minutes), "more" to be compared with; 0: errors all along
    """

    data: str
    net: str
    arm: str
    epochs: int
    schedule: str
    code: int = 0
    clip: bool = True
    scale: float = 1.0
    adapt: int = 0

    @property
    def setting(self) -> str:
        """The factors in words, but for data, architecture and arm."""
        clip = "" if self.clip else ", latents not clipped"
        scale = "" if self.scale == 1 else f", initial weights times {self.scale:g}"
        epochs = f"{self.epochs} + {self.adapt}" if self.adapt else f"{self.epochs}"
        return f"{epochs} epoch{'s' * (epochs != '1')} ({self.schedule}), code {self.code}{clip}{scale}"

    @property
    def name(self) -> str:
        """Of files: all factors."""
        words = f"{self.data} {self.net} {self.arm} {self.epochs} {self.schedule} code {self.code}"
        words += ("" if self.clip else " unclipped") + ("" if self.scale == 1 else f" scale {self.scale:g}")
        words += "" if not self.adapt else f" adapt {self.adapt}"
        return words.lower().replace(" ", "-")


@dataclass(frozen=True)
class Stage:
    """Recipes that are trained one after another, all of them for a seed before the next seed."""

    name: str
    recipes: tuple[Recipe, ...]
    n_seeds: int = 3


def _arms(base: Recipe, *arms: str, codes: tuple[int, ...] = CODES) -> tuple[Recipe, ...]:
    return tuple(replace(base, arm=arm, code=code) for arm in arms for code in codes)


_MAIN = ("standard", "flips 0.1", "native 0.1", "flips 0.2", "native 0.2")
_FCNN = Recipe("fashion", "FCNN", "", 30, "cosine")
_LONG = replace(_FCNN, epochs=100, schedule="halved 25")            # as the authors trained [C]
_CNN = Recipe("fashion", "CNN", "", 60, "halved 15")
_MLP = Recipe("mnist", "MLP", "", 100, "halved 25")
_CIFAR = Recipe("cifar10", "CIFAR-10 CNN", "", 40, "cosine", adapt=4)
_NARROW_CIFAR = replace(_CIFAR, net="narrow CIFAR-10 CNN")          # one hidden layer of 1,024 for two of 2,048
_SMALL = replace(_CIFAR, net="small CIFAR-10 CNN", epochs=14)       # less work an epoch
_OTHER = tuple(replace(_FCNN, arm=arm, **factor) for arm in ("standard", "flips 0.1")
               for factor in ({"clip": False}, {"scale": 10.0}))
_NARROW = tuple(replace(_FCNN, net=f"FCNN {width}", arm=arm) for width in (512, 1024)
                for arm in ("standard", "flips 0.1"))
_SHORT, _SHORT_CNN = replace(_FCNN, epochs=10), replace(_CNN, epochs=10, schedule="cosine")
_CNN_ARMS = ("standard", "flips 0.1", "flips 0.05", "flips 0.2", "MHL 0.0625")
# of FCNN and CNN, those that are compared: the papers' lengths, and the short ones
PAIRS = tuple((replace(fcnn, code=code), replace(cnn, code=code)) for fcnn, cnn in ((_SHORT, _SHORT_CNN), (_LONG, _CNN))
              for code in CODES)
STAGES = (
    Stage("short", (*_arms(_SHORT, *_MAIN),
                    *_arms(_SHORT, "flips 0.05", "native 0.05", "MHL 0.0625", "scaled MHL 128", "regulariser 1 16",
                           "regulariser 0.1 64", codes=(0,)))),
    Stage("short cnn", _arms(_SHORT_CNN, "standard", "flips 0.1"), 2),      # helps the FCNN more than the CNN
    Stage("long", _arms(_LONG, *_MAIN)),
    Stage("short cnn arms", _arms(_SHORT_CNN, "flips 0.2", "flips 0.05", "MHL 0.0625", "flips 0.15", "native 0.05",
                                  "native 0.1", "native 0.2"), 2),
    Stage("arms", (*_arms(_FCNN, "standard", "flips 0.05", "flips 0.1", "flips 0.2", "native 0.05", "MHL 0.0625",
                          "scaled MHL 128"), *_OTHER, *_NARROW,
                   *_arms(_FCNN, "regulariser 1 16", "regulariser 0.1 64", "MHL 0.5", "MHL 1", "scaled MHL 32",
                          "scaled MHL 512", codes=(0,)))),
    Stage("cnn", _arms(_CNN, *_CNN_ARMS), 2),
    Stage("mnist", _arms(_MLP, "standard", "flips 0.04")),
    Stage("small cifar", _arms(_SMALL, "standard", "flips 0.05", "more", codes=(128,)), 1),
    Stage("narrow cifar", _arms(_NARROW_CIFAR, "standard", "flips 0.05", "more 30", "more", codes=(128,)), 1),
    Stage("cifar", _arms(_CIFAR, "standard", "flips 0.05", "flips 0.1", "more", codes=(128,)), 1),
    Stage("mnist native", _arms(_MLP, "native 0.04")))                      # the paper's own form, a check more of (a)


def control(net: str) -> str:
    """The arm with which networks trained under errors are compared: one that goes on as they do, where they do."""
    goes_on = any(recipe.adapt for stage in STAGES for recipe in stage.recipes if recipe.net == net)
    return "more" if goes_on else "standard"


@dataclass(frozen=True, eq=False)
class Size:
    """How large the reproductions are: the networks' specs, and what is made smaller."""

    name: str
    specs: dict[str, str]
    chips: int                              # a bit error rate
    data: dict[str, str]                    # what is loaded for the data of a recipe
    n_train: int | None = None
    n_test: int | None = None
    epochs: int | None = None               # instead of a recipe's
    seeds: dict[str, int] | None = None     # of these stages; of others one
    rates: tuple[float, ...] = RATES

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe as it is trained at this size."""
        return recipe if self.epochs is None else replace(recipe, epochs=self.epochs)

    def chips_of(self, recipe: Recipe) -> int:
        """Chips a bit error rate: few where one takes minutes."""
        return min(self.chips, 3) if recipe.data == "cifar10" else self.chips

    def reestimated_on(self, recipe: Recipe) -> int | None:
        """How many of the training images batch-norm statistics are taken anew on; None is all."""
        return 10_000 if recipe.data == "cifar10" else None

    def n_seeds(self, stage: Stage) -> int:
        """How many seeds of a stage are trained."""
        return stage.n_seeds if self.seeds is None else self.seeds.get(stage.name, 1)


FULL = Size("full", {"FCNN": "FC2048 FC2048 FC10", "FCNN 512": "FC512 FC512 FC10", "FCNN 1024": "FC1024 FC1024 FC10",
                     "CNN": "C64 MP2 C64 MP2 FC2048 FC2048 FC10", "MLP": "FC1024 FC1024 FC10",
                     "CIFAR-10 CNN": "C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10",
                     "narrow CIFAR-10 CNN": "C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC1024 FC10",
                     "small CIFAR-10 CNN": "C128 MP2 C256 C256 MP2 C256 C256 MP2 FC1024 FC10"}, 10,
            {name: name for name in ("fashion", "mnist", "cifar10")})
QUICK = Size("quick", {"FCNN": "FC128 FC128 FC10", "FCNN 512": "FC32 FC32 FC10", "FCNN 1024": "FC64 FC64 FC10",
                       "CNN": "C8 MP4 FC32 FC10", "MLP": "FC64 FC64 FC10"}, 2,
             {"fashion": "fashion-subset", "mnist": "fashion-subset"}, 400, 150, 1, {"short": 2},
             (0.0, 1e-4, 0.04, 0.05, 0.1, 0.2))


def jobs(size: Size, stages: tuple[str, ...] = ()) -> list[tuple[Recipe, int]]:
    """All that a size trains, in order; of some stages only, by their names."""
    return [(size.of(recipe), seed) for stage in STAGES if not stages or stage.name in stages
            for seed in range(size.n_seeds(stage)) for recipe in stage.recipes if recipe.net in size.specs]
