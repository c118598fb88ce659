-- What fills the table of series.sql from the topic. README.md says how to start it; it replaces the three variables:
--
--   KAFKA_BROKERS        as kafka.brokers of the config file, such as kafka-1:9092,kafka-2:9092
--   SCHEMA_REGISTRY_URL  as registry.url
--   TOPIC_PREFIX         as topics.prefix
--
-- Only committed records are read. A null value, which withdraws a point, is passed over by the engine: the views need none.

CREATE TABLE IF NOT EXISTS series_queue (
  series_key String,
  vendor String,
  account String,
  bot_id String,
  channel String,
  language String,
  bucket_start DateTime64(3, 'UTC'),
  bucket String,
  revision Int32,
  complete Bool,
  updated_at DateTime64(3, 'UTC'),
  sessions Int64,
  sessions_self_service Int64,
  sessions_drop_off Int64,
  sessions_agent Int64,
  sessions_unknown Int64,
  sessions_ended Int64,
  duration_ms Int64,
  agent_transfers Int64,
  messages_user Int64,
  messages_bot Int64,
  messages_agent Int64,
  messages_other Int64,
  events Int64,
  duration_sketch Nullable(String),
  users_sketch Nullable(String)
)
ENGINE = Kafka
SETTINGS
  kafka_broker_list = '${KAFKA_BROKERS}',
  kafka_topic_list = '${TOPIC_PREFIX}.series',
  kafka_group_name = '${TOPIC_PREFIX}-clickhouse',
  kafka_format = 'AvroConfluent',
  format_avro_schema_registry_url = '${SCHEMA_REGISTRY_URL}';

CREATE MATERIALIZED VIEW IF NOT EXISTS series_feed TO series AS SELECT * FROM series_queue;
