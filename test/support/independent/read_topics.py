"""Reads topics as somebody who shares no code with Colloquy would: librdkafka, fastavro and the registry's HTTP API.

Usage: read_topics.py BROKERS REGISTRY TOPIC...
Prints one JSON line a record: {"topic", "partition", "offset", "key", "value"}; value is null for a tombstone. Reads each partition,
read_committed, to its end.

KAFKA_CLIENT may hold further settings of librdkafka (TLS, SASL) as JSON. With FOLLOW=1 it prints {"end": true} after that, and for each line on
stdin reads on from where it was; it ends with stdin.
"""

import base64
import io
import json
import os
import struct
import sys
import urllib.request

import fastavro
from confluent_kafka import Consumer, KafkaError, TopicPartition

brokers, registry, *topics = sys.argv[1:]
schemas = {}


def schema_of(schema_id):
    if schema_id not in schemas:
        with urllib.request.urlopen(f"{registry}/schemas/ids/{schema_id}") as answer:
            schemas[schema_id] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
    return schemas[schema_id]


def plain(value):
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "timestamp"):
        return round(value.timestamp() * 1000)
    return value


def decoded(topic, raw):
    if raw is None:
        return None
    if not raw.startswith(b"\x00"):
        return json.loads(raw)
    (schema_id,) = struct.unpack(">I", raw[1:5])
    body = io.BytesIO(raw[5:])
    value = fastavro.schemaless_reader(body, schema_of(schema_id))
    assert body.read() == b"", f"{topic}: bytes behind the record"
    return plain(value)


def connect():
    return Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "independent-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            **json.loads(os.environ.get("KAFKA_CLIENT", "{}")),
        }
    )


ends = {}


def read_on():
    """
    Prints what stands between `ends` and the ends that there are now. With a consumer of its own each time: one that has lived through many changes of leaders may
    not find the end of a partition for minutes, while others do at once.
    """
    consumer = connect()
    if not ends:
        for topic in topics:
            for partition in consumer.list_topics(topic).topics[topic].partitions:
                ends[topic, partition] = 0
    consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in ends.items()])
    unfinished = set(ends)
    while unfinished:
        message = consumer.poll(30)
        assert message is not None, "the broker fell silent"
        place = (message.topic(), message.partition())
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                unfinished.discard(place)
                ends[place] = message.offset()
            else:
                # Brokers come and go while we follow: librdkafka connects again by itself.
                assert following and message.error().retriable() or message.error().code() in AWAY, message.error()
            continue
        key = message.key()
        print(
            json.dumps(
                {
                    "topic": message.topic(),
                    "partition": message.partition(),
                    "offset": message.offset(),
                    "key": None if key is None else key.decode(),
                    "value": decoded(message.topic(), message.value()),
                }
            )
        )
    consumer.close()


following = os.environ.get("FOLLOW") == "1"
AWAY = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE} if following else set()
read_on()
if following:
    print('{"end": true}', flush=True)
    for _ in sys.stdin:
        read_on()
        print('{"end": true}', flush=True)
