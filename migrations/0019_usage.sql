-- Usage: sums over receipts by time, project, key, model, route, run and status, from one index and without reading a document.

-- What a document says about tokens: without cache, read from a cache, written to one, answered. Null where it says nothing,
-- or that it is not known. It never fails, since the commit that moves the money must not fail for it: what is not of the form
-- that is written today counts as nothing said. The quotes of a text inside the document are escaped, so none is mistaken.
create function ledger.tokens_of(document text) returns bigint[]
language plpgsql immutable strict parallel safe as $$
declare
  said constant text := split_part(document, '"usage":{"counts":', 2);
  counts constant text := split_part(said, '}', 1) || '}';
begin
  if said = '' or counts <> '{}' and counts !~ '^[{]("[a-z0-9_]+":[0-9]{1,15}(,|[}]))+$' or left(split_part(said, '"source":"', 2), 8) = 'unknown"' then
    return null;
  end if;
  return array[
    coalesce(substring(counts from '"input":([0-9]+)')::bigint, 0)
      + coalesce(substring(counts from '"input_audio":([0-9]+)')::bigint, 0)
      + coalesce(substring(counts from '"input_image":([0-9]+)')::bigint, 0),
    coalesce(substring(counts from '"cache_read":([0-9]+)')::bigint, 0),
    coalesce(substring(counts from '"cache_write_5m":([0-9]+)')::bigint, 0)
      + coalesce(substring(counts from '"cache_write_1h":([0-9]+)')::bigint, 0),
    coalesce(substring(counts from '"output":([0-9]+)')::bigint, 0)
      + coalesce(substring(counts from '"output_audio":([0-9]+)')::bigint, 0)];
end $$;
revoke all on function ledger.tokens_of from public;

alter table ledger.receipt add column tokens bigint[] generated always as (ledger.tokens_of(document)) stored;

create index receipt_for_usage on ledger.receipt (org_id, created_at)
  include (project_id, api_key_id, run_id, status, bucket, route, model, charge, tokens);

-- What the index alone can answer depends on the vacuum having seen the pages: it shall come by the hundred thousand.
alter table ledger.receipt set (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_insert_threshold = 50000);
