-- Questions over years, to be changed as needed: vendor, account, bot_id, channel and language are columns like any other. Weeks, months and days are in UTC.

-- sessions-by-month: sessions of each vendor, and how they ended
SELECT
  vendor,
  toStartOfMonth(bucket_start) AS month,
  sum(sessions) AS started,
  sum(sessions_self_service) / started AS self_service,
  sum(sessions_agent) / started AS agent,
  sum(sessions_drop_off) / started AS drop_off
FROM series_by_day
GROUP BY vendor, month
HAVING started > 0
ORDER BY vendor, month;

-- transfers-by-week: transfers per session of each channel, beside those of 52 weeks before
WITH weeks AS (
  SELECT channel, toStartOfWeek(bucket_start, 1) AS week, sum(sessions) AS started, sum(agent_transfers) AS transfers
  FROM series_by_day
  GROUP BY channel, week
  HAVING started > 0
)
SELECT
  w.channel AS channel,
  w.week AS week,
  w.transfers AS transfers,
  w.transfers / w.started AS rate,
  before.transfers / nullIf(before.started, 0) AS rate_year_before
FROM weeks AS w
LEFT JOIN weeks AS before ON before.channel = w.channel AND before.week = w.week - 364
ORDER BY channel, week;

-- duration-by-quarter: mean duration of each bot's sessions, in seconds
SELECT
  vendor,
  account,
  bot_id,
  toStartOfQuarter(bucket_start) AS quarter,
  sum(duration_ms) / sum(sessions_ended) / 1000 AS mean_seconds
FROM series_by_day
GROUP BY vendor, account, bot_id, quarter
HAVING sum(sessions_ended) > 0
ORDER BY vendor, account, bot_id, quarter;

-- hours-of-week: when sessions started in the last 90 days, by day of the week (1: Monday) and hour of a time zone
WITH toTimeZone(bucket_start, 'America/Bogota') AS local
SELECT
  toDayOfWeek(local) AS day,
  toHour(local) AS hour,
  sum(sessions) AS started
FROM series_by_hour
WHERE bucket_start >= toStartOfHour(now()) - INTERVAL 90 DAY AND bucket IN ('1m', '1h')
GROUP BY day, hour
HAVING started > 0
ORDER BY day, hour;
