-- Up Migration
-- How many partitions the log is divided into. Null: a log from before this was kept, or a new one; the first process that opens it says.
alter table head add column partitions int check (partitions > 0);
