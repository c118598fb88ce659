-- Removes minutes that have been rolled up. The views answer the same before and after; it only saves room, so run it as often as you like.
DELETE FROM series
WHERE bucket = '1m'
  AND (series_key, toStartOfDay(bucket_start)) IN (SELECT series_key, toStartOfDay(bucket_start) FROM series WHERE bucket = '1d');
