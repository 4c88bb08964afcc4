"""The rules of the ledger that Django's constraints cannot say, as triggers: they hold for raw SQL too.

    billing_entry, billing_posting   nothing is updated, deleted or truncated
    an entry, when it is committed   has as many postings as it says, which add up to nothing in each currency
    billing_ledgeraccount            a posting moves its balance, and nothing else does

The triggers that refuse are ENABLE ALWAYS, so that `session_replication_role` does not silence them. TRUNCATE of a ledger without
entries is let through: nothing is lost by it.
"""

from django.db import migrations

CREATE = """
CREATE FUNCTION billing_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: no % of %', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_append_only';
END $$;

CREATE FUNCTION billing_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_entry) THEN
        RAISE EXCEPTION 'the ledger is append-only: no % of %', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_append_only';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION billing_check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entry uuid := to_jsonb(NEW) ->> TG_ARGV[0];
BEGIN
    IF (SELECT count(*) FROM billing_posting WHERE entry_id = entry)
            IS DISTINCT FROM (SELECT size::bigint FROM billing_entry WHERE id = entry) THEN
        RAISE EXCEPTION 'entry % has not as many postings as it says', entry
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_is_whole';
    END IF;
    IF EXISTS (
        SELECT FROM billing_posting JOIN billing_ledgeraccount account ON account.id = account_id
        WHERE entry_id = entry GROUP BY account.currency HAVING sum(amount) <> 0
    ) THEN
        RAISE EXCEPTION 'entry % does not balance', entry
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entry_balances';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION billing_guard_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.balance = 0 THEN
            RETURN NEW;
        END IF;
    ELSIF pg_trigger_depth() > 1 AND to_jsonb(NEW) - 'balance' = to_jsonb(OLD) - 'balance' THEN  -- from billing_move_balance
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'only postings move a balance'
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'ledger_append_only';
END $$;

CREATE FUNCTION billing_move_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE billing_ledgeraccount SET balance = balance + NEW.amount WHERE id = NEW.account_id;
    RETURN NULL;
END $$;

-- A temporary table of the same name comes first where the search path does not say otherwise.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['billing_refuse', 'billing_refuse_truncate', 'billing_check_entry', 'billing_guard_account',
                                'billing_move_balance'] LOOP
        EXECUTE format('ALTER FUNCTION %I() SET search_path = %I, pg_temp', name, current_schema());
    END LOOP;
END $$;

CREATE TRIGGER ledger_entry_stays BEFORE UPDATE OR DELETE ON billing_entry FOR EACH ROW EXECUTE FUNCTION billing_refuse();
CREATE TRIGGER ledger_posting_stays BEFORE UPDATE OR DELETE ON billing_posting FOR EACH ROW EXECUTE FUNCTION billing_refuse();
CREATE TRIGGER ledger_account_stays BEFORE DELETE ON billing_ledgeraccount FOR EACH ROW EXECUTE FUNCTION billing_refuse();
CREATE TRIGGER ledger_entry_not_truncated BEFORE TRUNCATE ON billing_entry EXECUTE FUNCTION billing_refuse_truncate();
CREATE TRIGGER ledger_posting_not_truncated BEFORE TRUNCATE ON billing_posting EXECUTE FUNCTION billing_refuse_truncate();
CREATE TRIGGER ledger_account_not_truncated BEFORE TRUNCATE ON billing_ledgeraccount EXECUTE FUNCTION billing_refuse_truncate();
CREATE TRIGGER ledger_account_guarded BEFORE INSERT OR UPDATE ON billing_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION billing_guard_account();
CREATE TRIGGER ledger_posting_moves AFTER INSERT ON billing_posting FOR EACH ROW EXECUTE FUNCTION billing_move_balance();
CREATE CONSTRAINT TRIGGER ledger_entry_balances AFTER INSERT ON billing_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_check_entry('id');
CREATE CONSTRAINT TRIGGER ledger_posting_balances AFTER INSERT ON billing_posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_check_entry('entry_id');

-- Not ledger_posting_moves and ledger_account_guarded: a replica is sent the balances as well.
ALTER TABLE billing_entry ENABLE ALWAYS TRIGGER ledger_entry_stays;
ALTER TABLE billing_entry ENABLE ALWAYS TRIGGER ledger_entry_not_truncated;
ALTER TABLE billing_entry ENABLE ALWAYS TRIGGER ledger_entry_balances;
ALTER TABLE billing_posting ENABLE ALWAYS TRIGGER ledger_posting_stays;
ALTER TABLE billing_posting ENABLE ALWAYS TRIGGER ledger_posting_not_truncated;
ALTER TABLE billing_posting ENABLE ALWAYS TRIGGER ledger_posting_balances;
ALTER TABLE billing_ledgeraccount ENABLE ALWAYS TRIGGER ledger_account_stays;
ALTER TABLE billing_ledgeraccount ENABLE ALWAYS TRIGGER ledger_account_not_truncated;
"""

# The triggers go with their tables' functions.
DROP = """
DROP FUNCTION billing_refuse, billing_refuse_truncate, billing_check_entry, billing_guard_account, billing_move_balance CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_ledger")]

    operations = [migrations.RunSQL(CREATE, DROP)]
