import pg from 'pg';

/** Tables of a database that refuse to be written, as on a full disk, for as long as they are told to. */
export interface FailingTables {
  /** From now on writing to these tables (`schema.table`) fails with this SQLSTATE, and to no other ones. */
  fail(tables: readonly string[], sqlstate: string): Promise<void>;
  /** How often that has happened since the last `fail`. */
  failures(): Promise<number>;
  recover(): Promise<void>;
  close(): Promise<void>;
}

export async function failingTables(url: string): Promise<FailingTables> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  // A sequence keeps counting in transactions that are rolled back.
  await client.query(`
    create table public.failing (name text primary key, code text not null);
    create sequence public.failures;
    create function public.fail() returns trigger language plpgsql security definer as $$
    declare code text := (select f.code from public.failing f where f.name = tg_table_schema || '.' || tg_table_name);
    begin
      if code is not null then
        perform nextval('public.failures');
        raise exception 'could not extend file "base/1/2": a trial' using errcode = code;
      end if;
      return null;
    end $$`);
  const recover = async () => { await client.query('delete from public.failing'); };
  return {
    async fail(tables, sqlstate) {
      await recover();
      await client.query("select setval('public.failures', 1, false)");
      for (const table of tables) {
        await client.query(`create or replace trigger fails before insert or update on ${table} for each statement execute function public.fail()`);
      }
      await client.query('insert into public.failing select unnest($1::text[]), $2', [tables, sqlstate]);
    },
    async failures() {
      const { rows } = await client.query<{ count: string }>('select case when is_called then last_value else 0 end as count from public.failures');
      return Number(rows[0]?.count);
    },
    recover,
    close: () => client.end(),
  };
}
