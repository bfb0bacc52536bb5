-- The daemon that owns the outbox: only one whose instance_id is on record commits and claims. It is the second guard behind
-- the lock file, which anybody may remove. process, lock_file and database_file say where it runs and what it has open, so
-- that the next daemon knows whether it may still be alive. One row.
create table daemon_instance (
  only_one      integer primary key check (only_one = 1),
  instance_id   text    not null,
  process       text    not null,
  lock_file     text    not null,
  database_file text    not null,
  -- whether it has closed the outbox itself
  ended         integer not null default 0 check (ended in (0, 1))
) strict;
