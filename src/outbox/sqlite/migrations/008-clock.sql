-- Whether the machine's clock can be believed: a JSON document (ClockTrust in domain/clock-trust.ts), for it is only read as a
-- whole. Written once a minute while the relay runs, so that a clock that is wrong after a restart is noticed. One row.
create table clock_trust (
  only_one integer primary key check (only_one = 1),
  state    text    not null check (json_valid(state))
) strict;
