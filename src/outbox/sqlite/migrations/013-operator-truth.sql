-- What targets and operators asked of a lane, and how attempts ended; see docs/concepts/retries-and-order.md.

-- throttled_until: the target asked for no more requests before this instant (429, Retry-After); null: it did not.
-- throttles: throttled answers in a row. probe_requested: number of the last request to probe the target now; the relay
-- answers by raising probe_answered to it.
alter table target_states add column throttled_until integer;
alter table target_states add column throttles integer not null default 0 check (throttles >= 0);
alter table target_states add column probe_requested integer not null default 0;
alter table target_states add column probe_answered integer not null default 0;

-- timeouts: attempts of the current budget that ended with a timeout.
alter table live_deliveries add column timeouts integer not null default 0 check (timeouts >= 0);

-- throttled_attempts: those of round_attempts that were throttled; they use nothing of the budget.
alter table live_deliveries add column throttled_attempts integer not null default 0 check (throttled_attempts >= 0);

-- probe_result: the answer to the probe requested last, as JSON (outbox/probes.ts); null: the relay ended before it had one.
alter table target_states add column probe_result text;

-- configuration: what commands need of the configuration in use, without secrets, for when its file is invalid.
-- reload_changes: what the last reload has changed, by name. Both JSON.
alter table daemon_state add column configuration text not null default 'null';
alter table daemon_state add column reload_changes text not null default '[]';

-- unknown_paths: requests to paths that nothing listens on, a bounded number. JSON.
alter table daemon_state add column unknown_paths text not null default '[]';
