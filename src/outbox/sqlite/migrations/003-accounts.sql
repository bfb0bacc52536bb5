-- The identity of an event no longer depends on the source it arrived through: an account-wide webhook and the callbacks
-- of single calls come with secrets, and so sources, of their own, and report the same event. `account` is the provider
-- account that a source belongs to, or stands for a source that belongs to none.
alter table events add column account text not null default '';

-- Before this, an event was recorded once for each source. The first copy takes the account's identity; further copies keep
-- one of their own.
drop index events_by_call;
drop index events_by_body;
update events set account = 'source:' || source where origin != 'relay';
update events set account = source where origin = 'relay';
create unique index events_by_call on events (call_id, event, account) where call_id is not null;
create unique index events_by_body on events (body_hash, event, account) where body_hash is not null;
update or ignore events set account = 'default' where origin != 'relay';
