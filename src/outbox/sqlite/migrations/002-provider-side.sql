-- What the relay keeps of the provider's side: what it has looked for, and what it has fetched.

-- for how many had to be fetched
create index events_fetched on events (source) where origin = 'reconcile';

-- Which secrets genuine events were signed with, by fingerprint: during a rotation the new one shows here.
create table secret_uses (
  source        text    not null,
  fingerprint   text    not null,
  first_used_at integer not null,
  last_used_at  integer not null check (last_used_at >= first_used_at),
  primary key (source, fingerprint)
) strict, without rowid;

-- How far the look for events that did not come has got: the daemon's under the name of the source, an operator's under
-- one of its own. from_at to to_at: the sweep under way, by when calls were created; page: where the provider's list
-- goes on.
create table sweeps (
  name            text    primary key,
  completed_until integer,
  from_at         integer,
  to_at           integer,
  page            text,
  updated_at      integer not null,
  check ((from_at is null) = (to_at is null))
) strict, without rowid;

-- Events that should have come and never can: their calls were deleted at the provider.
create table gaps (
  source   text    not null,
  call_id  text    not null,
  event    text    not null,
  found_at integer not null,
  -- whether relay.reconcile.gap was raised of it
  told     integer not null default 0 check (told in (0, 1)),
  primary key (source, call_id, event)
) strict, without rowid;
create index gaps_untold on gaps (source, found_at) where told = 0;

-- What the daemon last told of the provider's side: a JSON document, for it is only ever read as a whole.
create table provider_states (
  source     text    primary key,
  state      text    not null check (json_valid(state)),
  updated_at integer not null
) strict, without rowid;

-- What was fetched of an event's call for its deliveries, for as long as one of them is unfinished. body: null where it
-- lies in a file beside the outbox.
create table attachments (
  event_seq    integer not null,
  kind         text    not null check (kind in ('transcript', 'recording')),
  content_type text    not null,
  body         blob,
  primary key (event_seq, kind)
) strict;

-- A trigger, for deliveries are ended by the daemon and by the commands. Costs a look-up in what is mostly an empty table.
create trigger attachments_done after insert on finished_deliveries
when exists (select 1 from attachments where event_seq = new.event_seq)
  and not exists (select 1 from live_deliveries where event_seq = new.event_seq)
begin
  delete from attachments where event_seq = new.event_seq;
end;
