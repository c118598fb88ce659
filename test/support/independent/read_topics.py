"""Reads topics as somebody who shares no code with Colloquy would: librdkafka, fastavro and the registry's HTTP API.

Usage: read_topics.py BROKERS REGISTRY TOPIC...
Prints one JSON line a record: {"topic", "partition", "offset", "key", "value"}; value is null for a tombstone. Reads each partition,
read_committed, to the high watermark that it had at the start.
"""

import base64
import io
import json
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


consumer = Consumer(
    {
        "bootstrap.servers": brokers,
        "group.id": "independent-reader",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    }
)
places = []
for topic in topics:
    for partition in consumer.list_topics(topic).topics[topic].partitions:
        places.append(TopicPartition(topic, partition, 0))
consumer.assign(places)
open_places = {(place.topic, place.partition) for place in places}
while open_places:
    message = consumer.poll(30)
    assert message is not None, "the broker fell silent"
    if message.error():
        assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
        open_places.discard((message.topic(), message.partition()))
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
