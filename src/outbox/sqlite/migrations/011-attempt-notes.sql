-- What an operator should know of an attempt, whatever its outcome.
alter table attempts add column note text;

drop view attempt_log;
create view attempt_log as
select
  delivery_id,
  target,
  attempt,
  strftime('%Y-%m-%dT%H:%M:%fZ', started_at / 1000.0, 'unixepoch') as started_at,
  duration_ms,
  outcome,
  status,
  error,
  response,
  note
from attempts;
