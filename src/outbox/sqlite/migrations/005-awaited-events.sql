-- What a sweep over the provider's calls has to look at again, so that it need not read every call again.

-- Events of known calls that have not come and still may. A call with no row here is complete: all of its events are on
-- record, or can never come. created_at: of the call, by the provider's clock. happened_at: null as long as the provider
-- does not say that it happened. look_at: before then, looking at the call changes nothing.
create table awaited_events (
  source      text    not null,
  call_id     text    not null,
  event       text    not null,
  created_at  integer not null,
  -- whether only its tombstone is left
  deleted     integer not null check (deleted in (0, 1)),
  happened_at integer,
  look_at     integer not null,
  primary key (source, call_id, event)
) strict, without rowid;
-- for the calls that are due
create index awaited_events_by_look on awaited_events (source, look_at);

-- What the last full pass over a list has read. scope: what it looked for, which a changed configuration changes.
-- newest: when the newest call seen was created, by the provider's clock.
create table sweep_coverage (
  name    text primary key,
  scope   text not null,
  from_at integer,
  full_at integer,
  newest  integer
) strict, without rowid;

-- for the gaps of a call
create index gaps_by_call on gaps (call_id);
