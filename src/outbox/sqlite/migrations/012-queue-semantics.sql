-- What a lane promises while operators, reloads and failing targets act on it at once; see docs/concepts/retries-and-order.md.

-- background: added by an operator or by reconciliation, and sent after what is live.
-- starts: attempts in a row during which the relay ended unexpectedly, with the one under way where starts are recorded.
-- stopped_ms: the target's stopped_ms up to which first_attempt_at is corrected; see stopped-time.ts.
alter table live_deliveries add column background integer not null default 0 check (background in (0, 1));
alter table live_deliveries add column starts integer not null default 0 check (starts >= 0);
alter table live_deliveries add column stopped_ms integer not null default 0;

-- for claim: the target first, so that one target's backlog is never in another's way; then what is live
drop index live_deliveries_by_due;
create index live_deliveries_by_due on live_deliveries (target, background, due_at) where ready = 1;

-- for the next of a call: that of the oldest event, whenever its delivery was created
drop index live_deliveries_by_call;
create index live_deliveries_by_call on live_deliveries (target, call_key, event_seq) where call_key is not null;

-- for the deliveries that were under way when the relay ended
create index live_deliveries_interrupted on live_deliveries (delivery_id) where starts > 0;

-- call_order: how the configuration last applied orders the target's calls; null where none has been applied. order_applied:
-- whether all live deliveries follow it.
alter table target_states add column call_order text check (call_order in ('none', 'release', 'hold'));
alter table target_states add column order_applied integer not null default 0 check (order_applied in (0, 1));

-- For how long nothing could be tried: paused, missing from the configuration, or no relay running. stopped_since: null while
-- attempts can be made. max_delay_ms: the longest delay that a delivery may have been given.
alter table target_states add column stopped_since integer;
alter table target_states add column stopped_ms integer not null default 0 check (stopped_ms >= 0);
alter table target_states add column max_delay_ms integer;

-- Of an open circuit: the delivery that last probed the target, and a digest of the configuration under which it opened.
alter table target_states add column probe_delivery_id integer;
alter table target_states add column config_hash text;

-- Commands that have changed deliveries ask the running relay to drop what it has claimed; it answers with what is under way.
create table recalls (
  only_one  integer primary key check (only_one = 1),
  requested integer not null,
  answered  integer not null default 0
) strict;

create table attempts_under_way (
  delivery_id integer primary key,
  target      text    not null,
  started_at  integer not null
) strict;

-- Relays through which the event has already passed, as their ids with a space between, the last one first.
alter table events add column via text;

-- Names this relay to others, so that an event that comes back is recognised. A copy of the outbox has the same.
alter table outbox_origin add column relay_id text not null default '';
update outbox_origin set relay_id = lower(hex(randomblob(8)));
