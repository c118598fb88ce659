-- The series topic as a table, and two views that count each instant from one point. README.md says how to create them.

-- All points that were ever read, in three buckets. The newest revision of a key stays; ask with FINAL, as the views do, because merging is done later.
CREATE TABLE IF NOT EXISTS series (
  series_key String,
  vendor LowCardinality(String),
  account LowCardinality(String),
  bot_id LowCardinality(String),
  channel LowCardinality(String),
  language LowCardinality(String),
  bucket_start DateTime64(3, 'UTC'),
  bucket LowCardinality(String),
  revision UInt32,
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
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(bucket_start)
ORDER BY (bucket, series_key, bucket_start);

-- For questions in UTC days or longer: the day where there is one, else the minutes. Right for any age of late data.
CREATE VIEW IF NOT EXISTS series_by_day AS
SELECT * FROM series FINAL WHERE bucket = '1d'
UNION ALL
SELECT * FROM series FINAL
WHERE bucket = '1m'
  AND (series_key, toStartOfDay(bucket_start)) NOT IN (SELECT series_key, toStartOfDay(bucket_start) FROM series WHERE bucket = '1d');

-- For hours, and for days of other time zones: the hour where there is one, else the minutes; a day of which there are no hours is one point at its start.
CREATE VIEW IF NOT EXISTS series_by_hour AS
SELECT * FROM series FINAL WHERE bucket = '1h'
UNION ALL
SELECT * FROM series FINAL
WHERE bucket = '1d'
  AND (series_key, toStartOfDay(bucket_start)) NOT IN (SELECT series_key, toStartOfDay(bucket_start) FROM series WHERE bucket = '1h')
UNION ALL
SELECT * FROM series FINAL
WHERE bucket = '1m'
  AND (series_key, toStartOfHour(bucket_start)) NOT IN (SELECT series_key, toStartOfHour(bucket_start) FROM series WHERE bucket = '1h')
  AND (series_key, toStartOfDay(bucket_start)) NOT IN (SELECT series_key, toStartOfDay(bucket_start) FROM series WHERE bucket = '1d');
