"""Reads the sketches of series points as somebody who shares no code with Colloquy would: by Datadog's ddsketch.proto, and by the storage
specification of Aggregate Knowledge's HyperLogLog.

Usage: read_sketches.py FILE
FILE holds {"durations": [base64...], "users": [base64...], "user_ids": [...]}. Prints, of all of them together, {"count", "quantiles": {q: milliseconds}, "users",
"kinds": {kind: how many sketches}, "missing": [user ids that no sketch holds]}.
"""

import base64
import json
import math
import struct
import sys

import mmh3
from ddsketch.pb import ddsketch_pb2

LOG2M, WIDTH = 14, 5
KINDS = {1: "empty", 2: "explicit", 3: "sparse", 4: "full"}

with open(sys.argv[1], encoding="utf-8") as file:
    given = json.load(file)


def quantiles_of(sketches):
    bins, gammas = {}, set()
    zeros = 0.0
    for raw in sketches:
        sketch = ddsketch_pb2.DDSketch.FromString(raw)
        assert sketch.mapping.interpolation == 0 and sketch.mapping.indexOffset == 0
        assert not sketch.negativeValues.binCounts and not sketch.negativeValues.contiguousBinCounts
        gammas.add(sketch.mapping.gamma)
        zeros += sketch.zeroCount
        store = sketch.positiveValues
        found = list(store.binCounts.items())
        found += [(store.contiguousBinIndexOffset + i, n) for i, n in enumerate(store.contiguousBinCounts)]
        for index, n in found:
            bins[index] = bins.get(index, 0) + n
    (gamma,) = gammas
    count = zeros + sum(bins.values())

    def value(q):
        below = zeros
        if below > q * (count - 1):
            return 0
        for index in sorted(bins):
            below += bins[index]
            if below > q * (count - 1):
                # The middle of [gamma^i, gamma^(i+1)), as relative errors go.
                return 2 * gamma ** (index + 1) / (1 + gamma)

    return count, {str(q): value(q) for q in (0.5, 0.9, 0.95, 0.99)}


def register_of(user):
    bits = user & (2**64 - 1)
    rest = bits >> LOG2M
    value = 1
    while value < 2**WIDTH - 1 and rest & 1 == 0:
        value, rest = value + 1, rest >> 1
    return bits & (2**LOG2M - 1), value


def short_words(data, bits):
    whole = int.from_bytes(data, "big")
    size = len(data) * 8
    for at in range(bits, size + 1, bits):
        yield (whole >> (size - at)) & (2**bits - 1)


users, registers, kinds = set(), [0] * 2**LOG2M, {}


def raise_to(register, value):
    registers[register] = max(registers[register], value)


for raw in map(base64.b64decode, given["users"]):
    version, parameters, cutoff = raw[0], raw[1], raw[2]
    assert version >> 4 == 1 and parameters == (WIDTH - 1) << 5 | LOG2M and cutoff == 0x40 | 9
    kind = KINDS[version & 15]
    kinds[kind] = kinds.get(kind, 0) + 1
    data = raw[3:]
    if kind == "explicit":
        found = [one for (one,) in struct.iter_unpack(">q", data)]
        assert found == sorted(set(found)) and len(found) <= 256
        users.update(found)
        for user in found:
            raise_to(*register_of(user))
    elif kind == "sparse":
        pairs = [divmod(word, 2**WIDTH) for word in short_words(data, LOG2M + WIDTH)]
        assert pairs == sorted(pairs) and all(value > 0 for _, value in pairs)
        for register, value in pairs:
            raise_to(register, value)
    elif kind == "full":
        for register, value in enumerate(short_words(data, WIDTH)):
            raise_to(register, value)
    else:
        assert not data


def cardinality():
    """The estimator of the paper (Flajolet and others, 2007), not the one that Colloquy has."""
    if set(kinds) <= {"empty", "explicit"}:
        return len(users)
    m = len(registers)
    raw = 0.7213 / (1 + 1.079 / m) * m * m / sum(2.0**-value for value in registers)
    zeros = registers.count(0)
    return m * math.log(m / zeros) if raw <= 2.5 * m and zeros else raw


def holds(user_id):
    high, low = struct.unpack("<II", mmh3.hash_bytes(user_id.encode(), 0, False)[:8])
    register, value = register_of(high << 32 | low)
    return registers[register] >= value


count, quantiles = quantiles_of(map(base64.b64decode, given["durations"]))
missing = [user_id for user_id in given["user_ids"] if not holds(user_id)]
print(json.dumps({"count": count, "quantiles": quantiles, "users": cardinality(), "kinds": kinds, "missing": missing}))
