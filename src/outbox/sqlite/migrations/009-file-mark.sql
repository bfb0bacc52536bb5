-- What shows by the database file alone, without its WAL, that it is the file this daemon writes to, and whether the WAL holds
-- more than the file does: see mark.ts. run is the instance_id of daemon_instance. previous: the mark before this one, as
-- 'run/number'; empty for the first. One row.
create table file_mark (
  only_one  integer primary key check (only_one = 1),
  run       text    not null,
  number    integer not null check (number > 0),
  previous  text    not null,
  marked_at integer not null
) strict;

-- The same run and number once more. In a table, and so on a page, of its own, which a checkpoint can leave out: a file in which it
-- is another mark's is not whole without its WAL. writes: counts up, so that the page changes. One row.
create table complete_mark (
  only_one integer primary key check (only_one = 1),
  run      text    not null,
  number   integer not null,
  writes   integer not null
) strict;
