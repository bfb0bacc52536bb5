-- Since when the outbox exists, in epoch milliseconds: a relay that was started without its volume has made a new one. Not the
-- file's own time, which a restored backup does not keep. Of an outbox that is older than this table, it is the earliest
-- instant on record. One row.
create table outbox_origin (
  only_one   integer primary key check (only_one = 1),
  created_at integer not null
) strict;

insert into outbox_origin (only_one, created_at)
select 1, min(instant)
from (
  select cast(unixepoch('now', 'subsec') * 1000 as integer) as instant
  union all
  select received_at from (select received_at from events order by event_seq limit 1)
  union all
  select started_at from daemon_state
);
