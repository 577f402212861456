"""The figures of the networks that ship, which docs/networks.md gives and tests make again."""

# The figures of the shipped networks, as the page gives them, and what the float network must
# reach: test images, float, int8, target. All of mobilenet's images take a minute and a half: its
# figures there are 0.9922 and 0.9914.
SHIPPED = {
    "plain": (10000, 0.9451, 0.9444, 0.940),
    "separable": (10000, 0.8399, 0.8386, 0.810),
    "mnist_cnn": (10000, 0.9884, 0.9884, 0.985),
    "mnist_cnn_bn": (10000, 0.9909, 0.9907, 0.985),
    "lenet_avg": (10000, 0.9898, 0.9900, 0.988),
    "lenet_max": (10000, 0.9907, 0.9904, 0.988),
    "mobilenet": (1000, 0.9900, 0.9890, 0.985),
}
