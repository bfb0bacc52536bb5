-- What shows by the database file alone, without its WAL, that it is the file this daemon writes to, and whether the WAL holds
-- more than the file does: see mark.ts. run is the instance_id of daemon_instance. complete = 0: more is in the WAL.
-- previous: the mark before this one, as 'run/number'; empty for the first. One row.
create table file_mark (
  only_one  integer primary key check (only_one = 1),
  run       text    not null,
  number    integer not null check (number > 0),
  complete  integer not null check (complete in (0, 1)),
  previous  text    not null,
  marked_at integer not null
) strict;
