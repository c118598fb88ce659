-- The minutes of the series topic as a Flink SQL job over the same topics. README.md says how to start it; it replaces the three variables:
--
--   KAFKA_BROKERS        as kafka.brokers of the config file, such as kafka-1:9092,kafka-2:9092
--   SCHEMA_REGISTRY_URL  as registry.url
--   TOPIC_PREFIX         as topics.prefix
--
-- Times are BIGINT, epoch milliseconds: a TIMESTAMP column loses nothing, but SQL has no difference of two of them in milliseconds.

SET 'pipeline.name' = '${TOPIC_PREFIX} series';
SET 'table.local-time-zone' = 'UTC';
-- A point is written at most once in 5 s, and is visible to read_committed readers after the next checkpoint.
SET 'execution.checkpointing.interval' = '10 s';
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'table.exec.mini-batch.allow-latency' = '5 s';
SET 'table.exec.mini-batch.size' = '20000';
-- State is kept for good: a session of which nothing is remembered would be counted again with its next revision.
SET 'table.exec.state.ttl' = '0';

-- The newest record of a key is the session; a null value withdraws it.
CREATE TABLE sessions (
  session_key STRING,
  vendor STRING,
  account STRING,
  bot_id STRING,
  channel STRING,
  `language` STRING,
  observed_at BIGINT,
  started_at BIGINT,
  ended_at BIGINT,
  containment STRING,
  transferred_at BIGINT,
  is_test BOOLEAN,
  PRIMARY KEY (session_key) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = '${TOPIC_PREFIX}.sessions',
  'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
  'properties.group.id' = '${TOPIC_PREFIX}-flink',
  'properties.isolation.level' = 'read_committed',
  'key.format' = 'raw',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL}',
  'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TABLE messages (
  message_key STRING,
  vendor STRING,
  account STRING,
  bot_id STRING,
  channel STRING,
  `language` STRING,
  observed_at BIGINT,
  sent_at BIGINT,
  sender STRING,
  arrived AS PROCTIME()
) WITH (
  'connector' = 'kafka',
  'topic' = '${TOPIC_PREFIX}.messages',
  'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
  'properties.group.id' = '${TOPIC_PREFIX}-flink',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL}'
);

CREATE TABLE events (
  event_key STRING,
  vendor STRING,
  account STRING,
  bot_id STRING,
  channel STRING,
  `language` STRING,
  observed_at BIGINT,
  occurred_at BIGINT,
  arrived AS PROCTIME()
) WITH (
  'connector' = 'kafka',
  'topic' = '${TOPIC_PREFIX}.events',
  'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
  'properties.group.id' = '${TOPIC_PREFIX}-flink',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL}'
);

-- Keys and measures are those of <prefix>.series; a minute in which nothing is counted any more is withdrawn with a null value.
CREATE TABLE series (
  point_key STRING,
  series_key STRING,
  vendor STRING,
  account STRING,
  bot_id STRING,
  channel STRING,
  `language` STRING,
  bucket_start TIMESTAMP(3),
  bucket STRING,
  sessions BIGINT,
  sessions_self_service BIGINT,
  sessions_drop_off BIGINT,
  sessions_agent BIGINT,
  sessions_unknown BIGINT,
  sessions_ended BIGINT,
  duration_ms BIGINT,
  agent_transfers BIGINT,
  messages_user BIGINT,
  messages_bot BIGINT,
  messages_agent BIGINT,
  messages_other BIGINT,
  events BIGINT,
  PRIMARY KEY (point_key) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = '${TOPIC_PREFIX}.series-flink',
  'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
  'properties.transaction.timeout.ms' = '600000',
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = '${TOPIC_PREFIX}.series-flink',
  'key.format' = 'raw',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = '${SCHEMA_REGISTRY_URL}',
  'value.fields-include' = 'EXCEPT_KEY'
);

-- A time before 2000, or more than a day ahead of when it was read, is a placeholder: nothing is counted at it. Sessions of tests are left out.
CREATE TEMPORARY VIEW counted_sessions AS
SELECT
  vendor, account, bot_id, channel, `language`, containment,
  CASE WHEN started_at BETWEEN 946684800000 AND observed_at + 86400000 THEN started_at END AS started_at,
  CASE WHEN ended_at BETWEEN 946684800000 AND observed_at + 86400000 THEN ended_at END AS ended_at,
  CASE WHEN transferred_at BETWEEN 946684800000 AND observed_at + 86400000 THEN transferred_at END AS transferred_at
FROM sessions
WHERE is_test IS NOT TRUE;

-- A message or event counts at the first record of its key, whatever its revision. All records of a key are in one partition, so they arrive in offset order.
CREATE TEMPORARY VIEW first_messages AS
SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY message_key ORDER BY arrived) AS nth FROM messages) WHERE nth = 1;

CREATE TEMPORARY VIEW first_events AS
SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY event_key ORDER BY arrived) AS nth FROM events) WHERE nth = 1;

-- One row for each thing that is counted, at its time. A session counts where it starts, where it ends and where it was transferred. `detail` is the containment
-- or the sender.
CREATE TEMPORARY VIEW session_times AS
SELECT
  vendor, account, bot_id, channel, `language`, containment,
  CASE WHEN ended_at > started_at THEN ended_at - started_at ELSE 0 END AS duration_ms,
  MAP[
    CAST('session' AS STRING), started_at,
    CAST('end' AS STRING), ended_at,
    CAST('transfer' AS STRING), CASE WHEN transferred_at IS NOT NULL OR containment = 'AGENT' THEN COALESCE(transferred_at, ended_at, started_at) END
  ] AS times
FROM counted_sessions;

CREATE TEMPORARY VIEW counts AS
SELECT vendor, account, bot_id, channel, `language`, kind, containment AS detail, at_ms, CASE WHEN kind = 'end' THEN duration_ms ELSE 0 END AS duration_ms
FROM session_times CROSS JOIN UNNEST(times) AS counted (kind, at_ms)
WHERE at_ms IS NOT NULL
UNION ALL
SELECT vendor, account, bot_id, channel, `language`, CAST('message' AS STRING), sender, sent_at, CAST(0 AS BIGINT)
FROM first_messages
WHERE sent_at BETWEEN 946684800000 AND observed_at + 86400000
UNION ALL
SELECT vendor, account, bot_id, channel, `language`, CAST('event' AS STRING), CAST('' AS STRING), occurred_at, CAST(0 AS BIGINT)
FROM first_events
WHERE occurred_at BETWEEN 946684800000 AND observed_at + 86400000;

-- The key of a point of the series topic. No channel, or one that is not in the contract, counts as other, and no language as the empty string. A bar or a
-- backslash inside a part has a backslash before it.
CREATE TEMPORARY VIEW keyed AS
SELECT
  REPLACE(REPLACE(vendor, '\', '\\'), '|', '\|') || '|' ||
  REPLACE(REPLACE(account, '\', '\\'), '|', '\|') || '|' ||
  REPLACE(REPLACE(bot_id, '\', '\\'), '|', '\|') || '|' ||
  CASE
    WHEN channel IN ('web', 'whatsapp', 'messenger', 'instagram', 'telegram', 'sms', 'email', 'voice', 'slack', 'msteams', 'twitter', 'api') THEN channel
    ELSE 'other'
  END || '|' ||
  REPLACE(REPLACE(COALESCE(`language`, ''), '\', '\\'), '|', '\|') || '@' ||
  DATE_FORMAT(TO_TIMESTAMP_LTZ(at_ms, 3), 'yyyy-MM-dd''T''HH:mm:00.000''Z''') AS point_key,
  kind, detail, duration_ms
FROM counts;

-- Grouped by the primary key of the table that is written, and by nothing else: then the sink needs no state and gets no retractions.
CREATE TEMPORARY VIEW minutes AS
SELECT
  point_key,
  COUNT(*) FILTER (WHERE kind = 'session') AS sessions,
  COUNT(*) FILTER (WHERE kind = 'session' AND detail = 'SELF_SERVICE') AS sessions_self_service,
  COUNT(*) FILTER (WHERE kind = 'session' AND detail = 'DROP_OFF') AS sessions_drop_off,
  COUNT(*) FILTER (WHERE kind = 'session' AND detail = 'AGENT') AS sessions_agent,
  COUNT(*) FILTER (WHERE kind = 'session' AND detail NOT IN ('SELF_SERVICE', 'DROP_OFF', 'AGENT')) AS sessions_unknown,
  COUNT(*) FILTER (WHERE kind = 'end') AS sessions_ended,
  SUM(duration_ms) AS duration_ms,
  COUNT(*) FILTER (WHERE kind = 'transfer') AS agent_transfers,
  COUNT(*) FILTER (WHERE kind = 'message' AND detail = 'USER') AS messages_user,
  COUNT(*) FILTER (WHERE kind = 'message' AND detail = 'BOT') AS messages_bot,
  COUNT(*) FILTER (WHERE kind = 'message' AND detail = 'AGENT') AS messages_agent,
  COUNT(*) FILTER (WHERE kind = 'message' AND detail NOT IN ('USER', 'BOT', 'AGENT')) AS messages_other,
  COUNT(*) FILTER (WHERE kind = 'event') AS events
FROM keyed
GROUP BY point_key;

-- The labels are read from the key again.
INSERT INTO series
SELECT
  point_key,
  REGEXP_EXTRACT(point_key, '^(.*)@', 1) AS series_key,
  REGEXP_REPLACE(REGEXP_EXTRACT(point_key, '^(?:(?:[^|\\]|\\.)*\|){0}((?:[^|\\]|\\.)*)\|', 1), '\\(.)', '$1') AS vendor,
  REGEXP_REPLACE(REGEXP_EXTRACT(point_key, '^(?:(?:[^|\\]|\\.)*\|){1}((?:[^|\\]|\\.)*)\|', 1), '\\(.)', '$1') AS account,
  REGEXP_REPLACE(REGEXP_EXTRACT(point_key, '^(?:(?:[^|\\]|\\.)*\|){2}((?:[^|\\]|\\.)*)\|', 1), '\\(.)', '$1') AS bot_id,
  REGEXP_REPLACE(REGEXP_EXTRACT(point_key, '^(?:(?:[^|\\]|\\.)*\|){3}((?:[^|\\]|\\.)*)\|', 1), '\\(.)', '$1') AS channel,
  REGEXP_REPLACE(REGEXP_EXTRACT(point_key, '^(?:(?:[^|\\]|\\.)*\|){4}(.*)@', 1), '\\(.)', '$1') AS `language`,
  TO_TIMESTAMP(REGEXP_EXTRACT(point_key, '@([^@]*)Z$', 1), 'yyyy-MM-dd''T''HH:mm:ss.SSS') AS bucket_start,
  '1m' AS bucket,
  sessions, sessions_self_service, sessions_drop_off, sessions_agent, sessions_unknown, sessions_ended, duration_ms, agent_transfers,
  messages_user, messages_bot, messages_agent, messages_other, events
FROM minutes;
