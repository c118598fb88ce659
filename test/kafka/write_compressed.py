"""Writes as another client does: librdkafka, which compresses batches itself.

Usage: write_compressed.py BROKERS TOPIC CODEC COUNT
Writes the values "value N " repeated 1 + N % 40 times, for N from 0 on, to partition 0.
"""

import sys

from confluent_kafka import Producer

brokers, topic, codec, count = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers, "compression.type": codec, "linger.ms": 200, "acks": "all"})
failures = []


def on_delivery(error, _message):
    if error is not None:
        failures.append(str(error))


for n in range(int(count)):
    producer.produce(topic, value=f"value {n} " * (1 + n % 40), partition=0, on_delivery=on_delivery)
producer.flush(30)
if failures or len(producer) > 0:
    sys.exit(f"{len(failures)} failed, {len(producer)} not sent: {failures[:1]}")
