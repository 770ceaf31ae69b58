-- Up Migration
-- The query store: each view makes its own table here from its declaration.
do $$
declare
  runtime text := 'orderfold_' || current_schema();
begin
  begin
    execute format('create role %I nologin', runtime);
  exception when duplicate_object or unique_violation then null;
  end;
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant %I to current_user', runtime);
  end if;
  execute format('grant usage on schema %I to %I', current_schema(), runtime);
end $$;
