"""Train any registered network on any data set: the command `jaxnets train`, from a checkout.

    python experiments/train.py --model lenet5 --dataset digits --epochs 20

The defaults train LeNet-5 on the 1,797 digits of scikit-learn, a fixed fifth of which is held out. The recipe
sets the defaults of the other options (`jaxnets.recipes`): `--recipe fast` trains a small network in 8 epochs
as the CIFAR-10 speed records do.

    python experiments/train.py --recipe fast --dataset cifar10
"""

from jaxnets.cli import commandline
from jaxnets.cli.train import train as main

if __name__ == "__main__":
    commandline.run(main)
