-- A kept rejection that is sent again: the id that it would have had as a row of its own. `tail --follow` finds by it what
-- happened after a position, also where the row is an old one.
alter table rejections add column repeat_id integer;

create index rejections_repeated on rejections (repeat_id) where repeat_id is not null;
