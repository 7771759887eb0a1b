-- 100,000 organizations with a plan in 20,000 accounts, four weeks of tests each; quota months that end on any day.
INSERT INTO organizations_seen
    SELECT concat('account-', toString(intDiv(number, 6))), if(number % 6 = 0, '', concat('organization-', toString(number % 6))) FROM numbers(120000);
INSERT INTO zone_facts
    SELECT concat('account-', toString(number)), toDateTime64({first_day:Date}, 3, 'UTC'), 'usage-events/bench/0', number,
        ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo'][number % 4 + 1]
    FROM numbers(20000);
INSERT INTO plan_facts
    SELECT concat('account-', toString(intDiv(number, 5))), concat('organization-', toString(number % 5 + 1)),
        toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalHour(10 + number % 600), 'usage-events/bench/0', number,
        if(number % 3 = 0, 'upgraded', 'started'), 'team', if(number % 10 = 0, NULL, 100)
    FROM numbers(100000);
INSERT INTO quota_usage_state
    SELECT concat('account-', toString(intDiv(number, 140))), concat('organization-', toString(intDiv(number, 28) % 5 + 1)),
        toDateTime64({first_day:Date}, 3, 'UTC') + toIntervalHour(10 + intDiv(number, 28) % 600), 1, {first_day:Date} + number % 28,
        'usage-events/bench/0', number % 10, number
    FROM numbers(2800000);
INSERT INTO account_progress (account_id, source, upto, first_event, last_event, directory_upto, seats_upto, uses_upto, activity_upto, tests_upto)
    SELECT concat('account-', toString(number)), 'usage-events/bench/0', 3000000, (number, 0), (2900000 + number, 0),
        3000000, 3000000, 3000000, 3000000, 3000000
    FROM numbers(20000);
INSERT INTO source_progress (source, topic, topic_id, partition, next_offset, accepted, high_watermark)
    SELECT 'usage-events/bench/0', 'usage-events', 'bench', 0, 3000000, 3000000, 3000000;
