-- Instants are epoch milliseconds (UTC). The tables are ours to change in later migrations; the views are the operator's
-- stable way in. No foreign keys: every row is written by the few statements of store.ts, parents and children in one
-- transaction, and the checks would cost a look-up a row on the path of an acknowledgement.

-- One row per event on record. Small, since every listing reads them: bodies live apart, and go one day with all that
-- became of the event (pruned_at), while the identity stays and duplicates are still recognised.
-- autoincrement: when the newest event is pruned, the next one must not be taken for it.
-- traceparent: null for what was recorded without. tracestate: a text of the sender's, which goes with the body.
create table events (
  event_seq    integer primary key autoincrement,
  event_id     text    not null unique,
  source       text    not null,
  event        text    not null,
  call_id      text,
  body_hash    text,
  received_at  integer not null,
  origin       text    not null check (origin in ('webhook', 'reconcile', 'relay')),
  content_type text,
  traceparent  text    check (length(traceparent) = 55),
  tracestate   text,
  duplicates   integer not null default 0 check (duplicates >= 0),
  pruned_at    integer,
  check ((call_id is null) = (body_hash is not null)),
  check (tracestate is null or (traceparent is not null and pruned_at is null))
) strict;

-- The identity of an event: source + name + call id, or the body's SHA-256 where there is no call id. The call id
-- comes first, so that a call's events stand together and "what happened to this call" is one look-up.
create unique index events_by_call on events (call_id, event, source) where call_id is not null;
create unique index events_by_body on events (body_hash, event, source) where body_hash is not null;
-- for the last event of each source and how many there were lately
create index events_by_source on events (source, received_at);
-- for retention: the oldest that are still whole, and the oldest of which only the identity is left
create index events_whole on events (received_at) where pruned_at is null;
create index events_pruned on events (received_at) where pruned_at is not null;

create table event_bodies (
  event_seq integer primary key,
  body      blob not null
) strict;

-- Unfinished deliveries only. A finished one moves to finished_deliveries in the transaction that settles it, so this
-- stays small and a claim stays cheap however long the history grows. Leases are held in memory by the one process
-- that delivers: a crash leaves every row pending, which is what recovery would have made of it.
-- autoincrement: an id is never used again, also after its row has moved on.
--
-- Order per call: where call_key (a hash of the call id; a collision only serialises too much) is not null, only the
-- call's oldest row is ready, and the transaction that ends it makes the next one ready. Looking for older rows at every
-- claim instead was measured at 88 ms with a million rows in backoff; this takes a tenth of a millisecond.
create table live_deliveries (
  delivery_id      integer primary key autoincrement,
  event_seq        integer not null,
  target           text    not null,
  call_key         integer,
  ready            integer not null default 1 check (ready in (0, 1)),
  attempts         integer not null default 0,
  round            integer not null default 1 check (round > 0),
  round_attempts   integer not null default 0 check (round_attempts between 0 and attempts),
  first_attempt_at integer,
  due_at           integer not null,
  updated_at       integer not null,
  last_status      integer,
  last_error       text,
  check ((round_attempts = 0) = (first_attempt_at is null)),
  check (attempts > 0 or (last_status is null and last_error is null)),
  check (ready = 1 or call_key is not null)
) strict;

-- for claim: the target first, so that one target's backlog is never in another's way
create index live_deliveries_by_due on live_deliveries (target, due_at) where ready = 1;
-- for the next of a call
create index live_deliveries_by_call on live_deliveries (target, call_key, delivery_id) where call_key is not null;
-- for delivery_log by event
create index live_deliveries_by_event on live_deliveries (event_seq);
-- for failed_deliveries and a target's last error; only rows that have failed are in it, and not what was delivered once
-- and is sent again
create index live_deliveries_failing on live_deliveries (target, updated_at) where last_error is not null;

create table finished_deliveries (
  delivery_id integer primary key,
  event_seq   integer not null,
  target      text    not null,
  call_key    integer,
  state       text    not null check (state in ('delivered', 'dead', 'cancelled')),
  attempts    integer not null check (attempts >= 0),
  round       integer not null check (round > 0),
  finished_at integer not null,
  last_status integer,
  last_error  text,
  check (state != 'delivered' or (attempts > 0 and last_error is null))
) strict;

-- for delivery_log by event
create index finished_deliveries_by_event on finished_deliveries (event_seq);
-- for failed_deliveries
create index finished_deliveries_dead on finished_deliveries (target, finished_at) where state = 'dead';
-- for what was delivered lately, from the index alone
create index finished_deliveries_by_time on finished_deliveries (finished_at, target, state);

-- Dead deliveries of ordered targets that hold back what came after them in their call, until an operator retries or
-- cancels them.
create table held_calls (
  target      text    not null,
  call_key    integer not null,
  delivery_id integer not null,
  primary key (target, call_key, delivery_id)
) strict, without rowid;

-- What is kept of a target besides its deliveries. probe_at: its breaker is open, and when one attempt may be made.
create table target_states (
  target      text    primary key,
  paused      integer not null default 0 check (paused in (0, 1)),
  probe_at    integer,
  cooldown_ms integer check (cooldown_ms > 0),
  updated_at  integer not null,
  check ((probe_at is null) = (cooldown_ms is null))
) strict, without rowid;

-- The daemon that runs on this outbox, or ran last, as it tells itself: for the commands. One row.
create table daemon_state (
  only_one       integer primary key check (only_one = 1),
  pid            integer not null,
  version        text    not null,
  listen         text    not null,
  config_file    text    not null,
  started_at     integer not null,
  reloads        integer not null default 0,
  reloaded_at    integer,
  reload_problem text,
  secrets        text    not null check (json_valid(secrets))
) strict;

-- Every attempt in the order in which they ended: rows are only ever added at the end. Each tells by itself which event
-- it was for and where it went, whatever becomes of its delivery.
create table attempts (
  attempt_seq integer primary key,
  delivery_id integer not null,
  event_seq   integer not null,
  target      text    not null,
  attempt     integer not null check (attempt > 0),
  started_at  integer not null,
  duration_ms integer not null check (duration_ms >= 0),
  outcome     text    not null check (outcome in ('delivered', 'failed', 'refused')),
  status      integer,
  error       text,
  response    text,
  check ((outcome = 'delivered') = (error is null))
) strict;

create unique index attempts_by_delivery on attempts (delivery_id, attempt);

-- Requests that were not taken. Two kinds, bounded apart so that noise cannot push out what may still be saved: without
-- a body (unproven), and with one (validly signed, refused all the same). The latter are kept once however often
-- they are sent.
create table rejections (
  rejection_id integer primary key autoincrement,
  source       text    not null,
  received_at  integer not null,
  reason       text    not null,
  -- of the last one
  request_id   text    not null,
  peer         text    not null,
  bytes        integer,
  headers      text    not null,
  times        integer not null default 1,
  body         blob,
  body_hash    text,
  content_type text,
  check ((body is null) = (body_hash is null))
) strict;

-- for the bound on each kind, and to find a kept one again
create index rejections_unproven on rejections (rejection_id) where body is null;
create index rejections_proven on rejections (rejection_id) where body is not null;
create unique index rejections_kept on rejections (body_hash, reason, source) where body is not null;
-- for how many there were lately and why, from the index alone
create index rejections_by_time on rejections (received_at, source, reason);

-- The operator's views: ISO times, bodies as text for json_extract (the bytes are untouched).

create view event_log as
select
  e.event_id,
  e.source,
  e.event,
  e.call_id,
  strftime('%Y-%m-%dT%H:%M:%fZ', e.received_at / 1000.0, 'unixepoch') as received_at,
  e.origin,
  e.duplicates,
  cast(b.body as text) as body,
  strftime('%Y-%m-%dT%H:%M:%fZ', e.pruned_at / 1000.0, 'unixepoch') as pruned_at,
  substr(e.traceparent, 4, 32) as trace_id
from events e
left join event_bodies b on b.event_seq = e.event_seq;

-- The two halves that the next two views are made of. failed_deliveries takes from each half what its partial index
-- holds; a condition over delivery_log would read the whole history.
create view unfinished_delivery_log as
select
  d.delivery_id,
  e.event_id,
  e.event,
  e.call_id,
  d.target,
  'pending' as state,
  d.attempts,
  strftime('%Y-%m-%dT%H:%M:%fZ', d.due_at / 1000.0, 'unixepoch') as due_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', d.updated_at / 1000.0, 'unixepoch') as updated_at,
  d.last_status,
  d.last_error
from live_deliveries d
join events e on e.event_seq = d.event_seq;

create view finished_delivery_log as
select
  d.delivery_id,
  e.event_id,
  e.event,
  e.call_id,
  d.target,
  d.state as state,
  d.attempts,
  null as due_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', d.finished_at / 1000.0, 'unixepoch') as updated_at,
  d.last_status,
  d.last_error
from finished_deliveries d
join events e on e.event_seq = d.event_seq;

create view delivery_log as
select * from unfinished_delivery_log
union all
select * from finished_delivery_log;

create view failed_deliveries as
select * from unfinished_delivery_log where last_error is not null
union all
select * from finished_delivery_log where state = 'dead';

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
  response
from attempts;

create view rejection_log as
select
  rejection_id,
  source,
  strftime('%Y-%m-%dT%H:%M:%fZ', received_at / 1000.0, 'unixepoch') as received_at,
  reason,
  peer,
  bytes,
  cast(body as text) as body,
  headers,
  times,
  request_id
from rejections;

create view target_log as
select
  target,
  iif(paused = 1, 'paused', 'running') as state,
  iif(probe_at is null, 'closed', 'open') as breaker,
  strftime('%Y-%m-%dT%H:%M:%fZ', probe_at / 1000.0, 'unixepoch') as probe_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1000.0, 'unixepoch') as updated_at
from target_states;
