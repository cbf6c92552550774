"""Writes random ONNX graphs with rows that onnxruntime computes: random_graphs.py SEED COUNT, into this folder.

Each is K.onnx with K.toml and K.safetensors. Sides are small and odd, maps have their channels first or last, and every
operator that import accepts occurs, with attributes that it should honour or refuse.
"""
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

ROWS = 5
VERSIONS = [11, 13, 17, 21]


class Graph:
    def __init__(self, random):
        self.random = random
        self.version = int(random.choice(VERSIONS))
        self.nodes, self.held, self.names = [], [], 0
        self.older = []

    def chance(self, share):
        return self.random.random() < share

    def one(self, *choices):
        return choices[self.random.integers(len(choices))]

    def side(self, most=7):
        return int(self.random.integers(1, most + 1))

    def name(self):
        self.names += 1
        return f"v{self.names}"

    def hold(self, values, kind=np.float32):
        name = self.name()
        self.held.append(numpy_helper.from_array(np.asarray(values, dtype=kind), name))
        return name

    def weights(self, *shape):
        return self.hold(self.random.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:]))))

    def node(self, operator, *inputs, domain="", **attributes):
        output = self.name()
        name = "" if self.chance(0.2) else output
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=name, domain=domain, **attributes))
        return output

    def axes(self, operator, x, axes):
        if self.version < 13:
            return self.node(operator, x, axes=axes)
        return self.node(operator, x, self.hold(axes, np.int64))

    def change_units(self, x, shape, channel):
        """Arithmetic with a constant, most often one value a channel."""
        rank = len(shape) + 1
        sides = [1] * rank
        at = self.one(channel, channel, channel, channel, 0, self.random.integers(1, rank))
        if at > 0:
            sides[at] = shape[at - 1]
        if at == rank - 1 and self.chance(0.5):
            sides = sides[-1:]
        elif self.chance(0.3):
            sides = sides[self.random.integers(0, max(at, 1)):]
        constant = self.hold(self.random.uniform(0.5, 1.5, size=[int(side) for side in sides]))
        operator = self.one("Add", "Sub", "Mul", "Div")
        if operator in ("Add", "Sub", "Mul") and self.chance(0.2):
            return self.node(operator, constant, x)
        return self.node(operator, x, constant)

    def normalise(self, x, channels):
        vectors = [self.hold(self.random.uniform(0.5, 1.5, size=[channels])) for _ in range(4)]
        return self.node("BatchNormalization", x, *vectors, epsilon=float(self.one(1e-5, 1e-3)))

    def nothing(self, x):
        which = self.one("Identity", "Dropout", "Cast")
        return self.node(which, x, to=TensorProto.FLOAT) if which == "Cast" else self.node(which, x)

    def activate(self, x):
        which = self.one("Tanh", "Relu", "Clip", "HardSwish", "Tanh", "Relu", "Sigmoid" if self.chance(0.2) else "Relu")
        if which == "HardSwish" and self.version < 14:
            which = "Relu"
        if which == "Clip":
            bounds = self.one((0.0, 6.0), (0.0, 6.0), (0.0, None), (-1.0, 1.0) if self.chance(0.3) else (0.0, 6.0))
            return self.node("Clip", x, *[self.hold(bound) if bound is not None else "" for bound in bounds])
        return self.node(which, x)

    def window(self, sides):
        size = [int(self.random.integers(1, min(side, 3) + 1)) for side in sides]
        given = {"kernel_shape": size}
        if self.chance(0.5):
            given["strides"] = [self.side(3) for _ in sides]
        return size, given

    def convolve(self, x, shape):
        channels, sides = shape[0], shape[1:]
        size, given = self.window(sides)
        groups = channels if self.chance(0.25) else 1
        outputs = groups * self.side(2) if groups > 1 else self.side(5)
        padding = self.random.random()
        if padding < 0.3:
            given["pads"] = [int(self.random.integers(0, one)) for one in size + size]
        elif padding < 0.7:
            given["auto_pad"] = self.one("SAME_UPPER", "SAME_LOWER", "VALID")
        if self.chance(0.05):
            given["dilations"] = [2] * len(sides)
        inputs = [self.weights(outputs, channels // groups, *size)]
        if self.chance(0.6):
            inputs.append(self.weights(outputs))
        return self.node("Conv", x, *inputs, group=groups, **given)

    def pool(self, x, shape):
        if self.chance(0.2):
            return self.node(self.one("GlobalMaxPool", "GlobalAveragePool"), x)
        size, given = self.window(shape[1:])
        kind = self.one("MaxPool", "AveragePool")
        if self.chance(0.25):
            given["auto_pad"] = self.one("SAME_UPPER", "SAME_LOWER", "VALID")
        elif self.chance(0.1):
            given["pads"] = [int(self.random.integers(0, one)) for one in size + size]
        if self.chance(0.15):
            given["ceil_mode"] = 1
        if kind == "AveragePool" and self.chance(0.3):
            given["count_include_pad"] = 1
        return self.node(kind, x, **given)

    def flatten(self, x, shape):
        values = int(np.prod(shape))
        which = self.one("Flatten", "Reshape", "Reshape", "Shape")
        if which == "Flatten":
            return self.node("Flatten", x, axis=self.one(1, 1, 1, -len(shape)))
        if which == "Reshape":
            return self.node("Reshape", x, self.hold(self.one([-1, values], [0, -1], [0, values]), np.int64))
        rows = self.node("Shape", x)
        if self.chance(0.5):
            rows = self.node("Slice", rows, self.hold([0], np.int64), self.hold([1], np.int64))
        else:
            rows = self.axes("Unsqueeze", self.node("Gather", rows, self.hold(0, np.int64), axis=0), [0])
        sides = self.node("Concat", rows, self.hold([-1], np.int64), axis=0)
        return self.node("Reshape", x, sides)

    def dense(self, x, values, outputs):
        if self.chance(0.5):
            y = self.node("MatMul", x, self.weights(values, outputs))
            return self.node("Add", y, self.weights(*self.one([outputs], [1, outputs]))) if self.chance(0.8) else y
        across = int(self.chance(0.5))
        weights = self.weights(outputs, values) if across else self.weights(values, outputs)
        given = {"alpha": 0.5, "beta": 2.0} if self.chance(0.3) else {}
        biases = [self.weights(*self.one([outputs], [1, outputs], [1]))] if self.chance(0.8) else []
        return self.node("Gemm", x, weights, *biases, transB=across, **given)

    def shape(self, name, sides):
        """Sides of a row of a value, by onnxruntime."""
        rows = np.zeros((ROWS, *sides), dtype=np.float32)
        return list(self.run(name, sides, rows).shape[1:])

    def model(self, outputs, sides):
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes, "g", [value("x", TensorProto.FLOAT, ["n", *sides])],
            [value(name, TensorProto.FLOAT, None) for name in outputs], self.held)
        sets = [helper.make_opsetid("", self.version), helper.make_opsetid("ai.onnx.ml", 3)]
        return helper.make_model(graph, opset_imports=sets, ir_version=9)

    def run(self, name, sides, rows):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        bytes = self.model([name], sides).SerializeToString()
        return onnxruntime.InferenceSession(bytes, options).run([name], {"x": rows})[0]


def maps(graph, x, sides):
    """Layers of maps, from an input that is one, to the values of a row and their number."""
    last = graph.chance(0.5)
    rank = len(sides) + 1
    if graph.chance(0.4):
        x = graph.change_units(x, sides, rank - 1 if last else 1)
    shape = list(sides)
    if last:
        x = graph.node("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)])
        shape = [shape[-1], *shape[:-1]]
    wide = rank == 3 and graph.chance(0.4)
    if wide:
        x = graph.axes("Unsqueeze", x, [2])
        shape.insert(1, 1)
    for _ in range(int(graph.random.integers(1, 4))):
        before = (x, list(shape))
        x = graph.convolve(x, shape)
        shape = graph.shape(x, sides)
        if graph.chance(0.3):
            x = graph.normalise(x, shape[0])
        if graph.chance(0.2):
            x = graph.change_units(x, shape, 1)
        if before[1] == shape and graph.chance(0.5):
            x = graph.node("Add", *graph.one((x, before[0]), (before[0], x)))
        if graph.chance(0.8):
            x = graph.activate(x)
        if graph.chance(0.3):
            x = graph.pool(x, shape)
            shape = graph.shape(x, sides)
        if graph.chance(0.2):
            x = graph.nothing(x)
    if wide and shape[1] == 1 and graph.chance(0.7):
        x = graph.axes("Squeeze", x, [2])
        shape.pop(1)
    if graph.chance(0.2):
        axes, keeps = list(range(2, len(shape) + 1)), int(graph.chance(0.5))
        if graph.version < 18:
            x = graph.node("ReduceMean", x, axes=axes, keepdims=keeps)
        else:
            x = graph.node("ReduceMean", x, graph.hold(axes, np.int64), keepdims=keeps)
    elif graph.chance(0.5 if last else 0.1):
        x = graph.node("Transpose", x, perm=[0, *range(2, len(shape) + 1), 1])
    shape = graph.shape(x, sides)
    if len(shape) > 1:
        x = graph.flatten(x, shape)
    return x, int(np.prod(shape))


def build(random):
    """A graph, the sides of its input, and names of outputs: that of the sums first."""
    graph = Graph(random)
    kind = random.random()
    if kind < 0.3:
        sides = [graph.side(9)]
        x, values = "x", sides[0]
        if graph.chance(0.3):
            given = {"offset": random.normal(size=values), "scale": random.uniform(0.5, 2, size=values)}
            x = graph.node("Scaler", x, domain="ai.onnx.ml", **{name: list(map(float, v)) for name, v in given.items()})
        elif graph.chance(0.4):
            x = graph.change_units(x, sides, 1)
    elif kind < 0.4:
        map_sides = [graph.side(3), graph.side(), graph.side()]
        values = int(np.prod(map_sides))
        sides = [values]
        x = graph.node("Reshape", "x", graph.hold([-1, *map_sides], np.int64))
        x = graph.convolve(x, map_sides)
        shape = graph.shape(x, sides)
        x, values = graph.flatten(graph.activate(x), shape), int(np.prod(shape))
    else:
        sides = [graph.side() for _ in range(graph.one(2, 3))]
        x, values = maps(graph, "x", sides)
    for _ in range(int(random.integers(0, 3))):
        width = graph.side(6)
        x, values = graph.dense(x, values, width), width
        if graph.chance(0.2):
            x = graph.normalise(x, width)
        if graph.chance(0.2):
            x = graph.change_units(x, [width], 1)
        if graph.chance(0.9):
            x = graph.activate(x)
        if graph.chance(0.2):
            x = graph.nothing(x)
    count = graph.side(5)
    sums = graph.dense(x, values, count)
    names = [sums]
    if graph.chance(0.4):
        end = "Sigmoid" if count == 1 else graph.one("Softmax", "Softmax", "LogSoftmax", "Sigmoid")
        names.append(graph.node(end, sums, **({} if end == "Sigmoid" else {"axis": graph.one(-1, 1)})))
    elif graph.chance(0.05):
        names.append(x)
    return graph, sides, names


def main():
    seed, count = map(int, sys.argv[1:])
    written = 0
    for index in range(100 * count):
        if written == count:
            return
        random = np.random.default_rng([seed, index])
        try:
            graph, sides, names = build(random)
            rows = random.normal(size=(ROWS, *sides)).astype(np.float32)
            sums = graph.run(names[0], sides, rows)
            model = graph.model(names[-1:] if random.random() < 0.7 else names, sides)
        except Exception:
            # Windows that are larger than their map, and versions that lack an operator.
            continue
        if not np.isfinite(sums).all():
            continue
        onnx.save(model, f"{written}.onnx")
        save_file({"x": rows, "y": sums.astype(np.float32).reshape(ROWS, -1)}, f"{written}.safetensors")
        with open(f"{written}.toml", "w") as file:
            file.write(f'[check]\nfile = "{written}.safetensors"\ninputs = "x"\noutputs = "y"\n')
        written += 1
    sys.exit(f"{written} graphs of {count}")


main()
