-- How often a command has asked the running daemon to reload its configuration: the last request has this number. One row,
-- or none since the daemon has started. The daemon answers with the number that it has served, in `daemon_state`.
create table reload_requests (
  only_one  integer primary key check (only_one = 1),
  requested integer not null
) strict;

alter table daemon_state add column answered_reload integer not null default 0;
